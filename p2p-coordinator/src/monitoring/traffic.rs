//! Requests: how many of which kind, how they were answered, and how long that took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::{Counter, Kind, Text};

/// The methods that are told apart; all others are one more.
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "other"];

/// By their first digit; at the end those whose client left, or whose time was over, before there
/// was an answer.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// The classes of durations: up to so many seconds, in microseconds and as text.
const BOUNDS: [(u64, &str); 14] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// What requests without a route are counted under.
const NO_ROUTE: &str = "none";

/// All requests of a router, by route.
#[derive(Debug)]
pub(crate) struct Traffic {
    places: BTreeMap<String, usize>,
    /// Those without a route come last.
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    name: String,
    answers: [[Counter; CLASSES.len()]; METHODS.len()],
    /// Those longer than all bounds come last.
    times: [Counter; BOUNDS.len() + 1],
    micros: Counter,
}

impl Route {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            answers: Default::default(),
            times: Default::default(),
            micros: Counter::default(),
        }
    }

    fn note_time(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS.iter().position(|(bound, _)| micros <= *bound);
        self.times[class.unwrap_or(BOUNDS.len())].add_one();
        self.micros.add(micros);
    }
}

impl Traffic {
    /// Of a router with these patterns.
    pub(crate) fn new<'a>(patterns: impl Iterator<Item = &'a str> + Clone) -> Self {
        let routes = patterns.clone().chain([NO_ROUTE]).map(Route::new).collect();
        Self { places: patterns.map(str::to_owned).zip(0..).collect(), routes }
    }

    /// A request of this pattern, or of none, has come. It is counted when what this gives is dropped.
    pub(crate) fn begin(self: &Arc<Self>, method: &Method, pattern: Option<&str>) -> Asked {
        let route = pattern.and_then(|pattern| self.places.get(pattern).copied());
        let place = METHODS.iter().position(|known| *known == method.as_str());
        Asked {
            traffic: self.clone(),
            route: route.unwrap_or(self.places.len()),
            method: place.unwrap_or(METHODS.len() - 1),
            since: Instant::now(),
            answered: None,
        }
    }

    pub(crate) fn write(&self, text: &mut Text) {
        let name = "p2p_http_requests_total";
        text.family(name, Kind::Counter, "Requests, by method, route and class of status");
        for route in &self.routes {
            for (method, answers) in METHODS.iter().zip(&route.answers) {
                for (status, count) in CLASSES.iter().zip(answers) {
                    let count = count.get();
                    if count > 0 {
                        let labels =
                            [("method", *method), ("route", &route.name), ("status", status)];
                        text.sample(name, &labels, count);
                    }
                }
            }
        }
        let name = "p2p_http_request_duration_seconds";
        text.family(name, Kind::Histogram, "Time to the answer, by route");
        let (bucket, sum, count) =
            (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
        for route in &self.routes {
            let micros = Duration::from_micros(route.micros.get());
            let times: Vec<u64> = route.times.iter().map(Counter::get).collect();
            let all: u64 = times.iter().sum();
            if all == 0 {
                continue;
            }
            let mut so_far = 0;
            for ((_, bound), more) in BOUNDS.iter().zip(&times) {
                so_far += more;
                text.sample(&bucket, &[("route", &route.name), ("le", bound)], so_far);
            }
            text.sample(&bucket, &[("route", &route.name), ("le", "+Inf")], all);
            text.sample(&sum, &[("route", &route.name)], micros.as_secs_f64());
            text.sample(&count, &[("route", &route.name)], all);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Asked {
    traffic: Arc<Traffic>,
    route: usize,
    method: usize,
    since: Instant,
    answered: Option<(StatusCode, Duration)>,
}

impl Asked {
    /// The pattern of its route.
    pub(crate) fn route(&self) -> &str {
        &self.traffic.routes[self.route].name
    }

    /// It is answered with this status. How long that took.
    pub(crate) fn answered(&mut self, status: StatusCode) -> Duration {
        let took = self.since.elapsed();
        self.answered = Some((status, took));
        took
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let route = &self.traffic.routes[self.route];
        let (status, took) = self.answered.unzip();
        let class = match status.map(|status| status.as_u16() / 100) {
            Some(class @ 1..=5) => usize::from(class) - 1,
            _ => CLASSES.len() - 1,
        };
        route.answers[self.method][class].add_one();
        route.note_time(took.unwrap_or_else(|| self.since.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_counted_in_all_classes_that_it_fits_and_once_as_an_answer() {
        let traffic = Arc::new(Traffic::new(["/a/{b}"].into_iter()));
        let mut asked = traffic.begin(&Method::GET, Some("/a/{b}"));
        tokio::time::advance(Duration::from_millis(30)).await;
        asked.answered(StatusCode::NOT_FOUND);
        drop(asked);
        drop(traffic.begin(&Method::TRACE, Some("/never/heard/of")));
        let mut text = Text::default();
        traffic.write(&mut text);
        let text = text.into_string();
        for line in [
            r#"p2p_http_requests_total{method="GET",route="/a/{b}",status="4xx"} 1"#,
            r#"p2p_http_requests_total{method="other",route="none",status="none"} 1"#,
            r#"p2p_http_request_duration_seconds_bucket{route="/a/{b}",le="0.025"} 0"#,
            r#"p2p_http_request_duration_seconds_bucket{route="/a/{b}",le="0.05"} 1"#,
            r#"p2p_http_request_duration_seconds_bucket{route="/a/{b}",le="+Inf"} 1"#,
            r#"p2p_http_request_duration_seconds_sum{route="/a/{b}"} 0.03"#,
            r#"p2p_http_request_duration_seconds_count{route="/a/{b}"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert_eq!(text.matches("p2p_http_requests_total{").count(), 2);
    }
}
