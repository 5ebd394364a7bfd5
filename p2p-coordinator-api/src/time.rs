//! Wall time.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment: milliseconds since 1970-01-01 00:00 UTC, leap seconds not counted.
///
/// Prints, and travels in JSON, as ISO 8601 with milliseconds: `2026-01-31T12:00:00.250+00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment, 9999-01-01T00:00:00Z: a year can be printed with four digits.
    pub const MAX: Self = Self(253_370_764_800_000);

    /// The moment this many milliseconds after the epoch; at most [`Timestamp::MAX`].
    pub const fn from_millis(millis: u64) -> Self {
        if millis > Self::MAX.0 { Self::MAX } else { Self(millis) }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment this much later; never past [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The moment this much earlier; never before the epoch.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long ago `earlier` was; zero if it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        // jiff writes the offset of UTC as `Z`; the contract's clients read numbers.
        let text = format!("{moment:.3}");
        write!(f, "{}+00:00", text.trim_end_matches('Z'))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let moment: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        let millis = u64::try_from(moment.as_millisecond())
            .map_err(|_| de::Error::custom("a moment before 1970"))?;
        Ok(Self::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_prints_as_iso_8601_with_an_offset() {
        let moment = Timestamp::from_millis(1_769_860_800_250);
        assert_eq!(moment.to_string(), "2026-01-31T12:00:00.250+00:00");
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert!(Timestamp::MAX.to_string().starts_with("9999-01-01T"));
    }

    proptest! {
        #[test]
        fn a_moment_survives_json(millis in 0..=Timestamp::MAX.as_millis()) {
            let moment = Timestamp::from_millis(millis);
            let json = serde_json::to_string(&moment).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
        }
    }
}
