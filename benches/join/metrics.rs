//! What is measured.

use p2p_benches::{Better, Metric, Result};
use p2p_coordinator::store::sqlite::Durability;

use crate::{Plan, places, players};

pub(crate) const P50: Metric = Metric::new("join_p50_ms", "ms", Better::Lower);
pub(crate) const P99: Metric = Metric::new("join_p99_ms", "ms", Better::Lower);
pub(crate) const PLACE: Metric = Metric::new("join_place_ms", "ms", Better::Lower);
pub(crate) const DIAL: Metric = Metric::new("join_dial_ms", "ms", Better::Lower);
pub(crate) const MESSAGE: Metric = Metric::new("join_message_ms", "ms", Better::Lower);
pub(crate) const NEW_P50: Metric = Metric::new("join_new_p50_ms", "ms", Better::Lower);
const RATE: Metric = Metric::new("joins_per_s", "joins/s", Better::Higher);
const REFUSED: Metric = Metric::new("joins_refused_percent", "%", Better::Lower);
const POWER_RATE: Metric = Metric::new("joins_power_per_s", "joins/s", Better::Higher);
const CONNECTED_RATE: Metric = Metric::new("joins_connected_per_s", "joins/s", Better::Higher);

/// One number for each of a trial's metrics.
pub(crate) type Samples = Vec<(Metric, f64)>;

/// What is measured in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    Join,
    JoinNew,
    Places,
    PlacesPower,
    Connected,
}

impl Trial {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 5] =
        [Self::Join, Self::JoinNew, Self::Places, Self::PlacesPower, Self::Connected];

    /// What it gives to the report.
    pub(crate) const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Join => &[P50, P99, PLACE, DIAL, MESSAGE],
            Self::JoinNew => &[NEW_P50],
            Self::Places => &[RATE, REFUSED],
            Self::PlacesPower => &[POWER_RATE],
            Self::Connected => &[CONNECTED_RATE],
        }
    }

    /// Measures it.
    pub(crate) async fn run(self, plan: Plan) -> Result<Samples> {
        Ok(match self {
            Self::Join => players::one_endpoint(plan).await?,
            Self::JoinNew => players::new_endpoints(plan).await?,
            Self::Places => {
                let places = places::places(Durability::Process, plan).await?;
                vec![(RATE, places.per_s), (REFUSED, places.refused)]
            }
            Self::PlacesPower => {
                vec![(POWER_RATE, places::places(Durability::Power, plan).await?.per_s)]
            }
            Self::Connected => vec![(CONNECTED_RATE, players::rate(plan).await?)],
        })
    }
}
