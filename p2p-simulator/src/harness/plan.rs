//! Which seeds, and how they are run.

use std::num::NonZeroUsize;

use crate::profile::SettingError;

/// The variable that asks for one seed.
const ONE: &str = "SIMULATOR_P2P_SEED";
/// The variable that asks for many.
const MANY: &str = "SIMULATOR_P2P_SEEDS";
/// More seeds than this are a slip of the pen: at a thousand a second, they take a fortnight.
const MAX_SEEDS: u64 = 1_000_000_000;

/// Which seeds are run, and how.
#[derive(Debug)]
pub struct SeedPlan {
    name: String,
    package: Option<String>,
    first: u64,
    count: u64,
    threads: Option<NonZeroUsize>,
}

impl SeedPlan {
    /// So many seeds, from 0 on; at least one.
    pub fn new(count: u64) -> Self {
        Self {
            name: "simulation".to_owned(),
            package: None,
            first: 0,
            count: count.clamp(1, MAX_SEEDS),
            threads: None,
        }
    }

    /// Begins with another seed than 0.
    #[must_use]
    pub fn with_first(mut self, seed: u64) -> Self {
        self.first = seed;
        self
    }

    /// Runs on so many threads; on as many as there are cores if not set.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Says which test of which package this is, for the line that repeats a failure. `path` is the
    /// test's path in its crate, as [`module_path!`] has it, with the test's name.
    #[must_use]
    pub fn with_test(mut self, package: &str, path: &str) -> Self {
        self.package = Some(package.to_owned());
        // Tests are named without their crate.
        self.name = path.split_once("::").map_or(path, |(_, path)| path).to_owned();
        self
    }

    /// What the environment says goes first: `SIMULATOR_P2P_SEED`, for one seed, or else
    /// `SIMULATOR_P2P_SEEDS`, for a number of seeds from the plan's first on (`5000`), or for a range
    /// (`100..200`, `100..=199`).
    ///
    /// # Errors
    ///
    /// [`SettingError`], which names the variable and what it may be.
    pub fn with_environment(
        mut self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingError> {
        if let Some(value) = lookup(ONE) {
            let expected = "a whole number from 0 to 2^64 - 1";
            let Ok(seed) = value.trim().parse() else {
                return Err(SettingError { name: ONE, value, expected });
            };
            (self.first, self.count) = (seed, 1);
        } else if let Some(value) = lookup(MANY) {
            let Some((first, count)) = parse_seeds(value.trim(), self.first) else {
                let expected = "a number of seeds from 1 to 10^9 (5000), or a range of as many \
                                (100..200 or 100..=199)";
                return Err(SettingError { name: MANY, value, expected });
            };
            (self.first, self.count) = (first, count);
        }
        Ok(self)
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The seed of this number in the plan. After the largest comes 0.
    pub(super) fn seed(&self, number: u64) -> Option<u64> {
        (number < self.count).then(|| self.first.wrapping_add(number))
    }

    pub(super) fn threads_to_use(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self.threads.map_or_else(cores, NonZeroUsize::get);
        threads.min(usize::try_from(self.count).unwrap_or(usize::MAX))
    }

    /// The line that runs one seed again.
    pub(super) fn replay_line(&self, seed: u64) -> String {
        match &self.package {
            Some(package) => {
                format!("{ONE}={seed} cargo test -p {package} -- --exact {} --nocapture", self.name)
            }
            None => format!("{ONE}={seed}"),
        }
    }
}

/// The first seed and how many, if there are any.
fn parse_seeds(text: &str, first: u64) -> Option<(u64, u64)> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (first, count) = match text.split_once("..") {
        None => (first, number(text)?),
        Some((from, to)) => match (number(from)?, to.strip_prefix('=')) {
            (from, Some(last)) => (from, number(last)?.checked_sub(from)?.checked_add(1)?),
            (from, None) => (from, number(to)?.checked_sub(from)?),
        },
    };
    (1..=MAX_SEEDS).contains(&count).then_some((first, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(name: &str, value: &str) -> Result<(u64, u64), SettingError> {
        let lookup = |asked: &str| (asked == name).then(|| value.to_owned());
        let plan = SeedPlan::new(10).with_first(3).with_environment(lookup)?;
        Ok((plan.first, plan.count))
    }

    #[test]
    fn the_environment_asks_for_one_seed_or_many() {
        assert_eq!(seeds("OTHER", "1"), Ok((3, 10)));
        assert_eq!(seeds(ONE, " 77 "), Ok((77, 1)));
        assert_eq!(seeds(MANY, "5000"), Ok((3, 5000)));
        assert_eq!(seeds(MANY, "100..200"), Ok((100, 100)));
        assert_eq!(seeds(MANY, "100..=200"), Ok((100, 101)));
    }

    #[test]
    fn seeds_that_cannot_be_are_named() {
        for value in
            ["", "0", "-1", "many", "5..5", "9..3", "1..", "..", "..=", "0..=18446744073709551615"]
        {
            let error = seeds(MANY, value).expect_err(value).to_string();
            assert!(error.contains(MANY) && error.contains("or a range"), "{error}");
        }
        for value in ["", "-1", "0x10", "18446744073709551616", "1..2"] {
            let error = seeds(ONE, value).expect_err(value).to_string();
            assert!(error.contains(ONE) && error.contains("2^64 - 1"), "{error}");
        }
    }

    #[test]
    fn the_line_that_repeats_names_package_and_test() {
        let plan = SeedPlan::new(1).with_test("my-crate", "my_crate::inner::it_works");
        let line =
            "SIMULATOR_P2P_SEED=7 cargo test -p my-crate -- --exact inner::it_works --nocapture";
        assert_eq!(plan.replay_line(7), line);
    }
}
