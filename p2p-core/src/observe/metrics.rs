//! [`Metrics`]: what is counted, as text.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::health::Survey;
use super::monitor::{Direction, Monitor};
use super::tally::Tally;
use crate::priority::Priority;

/// The metrics of one provider: see the [list](crate::observe#metrics).
///
/// A handle: clones are the same metrics. It does not keep its provider alive; when that is gone, the
/// counters are what they were last.
///
/// ```
/// use p2p_core::P2PProvider;
///
/// /// The answer to `GET /metrics`: a body, and the header that says what it is.
/// fn answer<P: P2PProvider>(provider: &P) -> (String, &'static str) {
///     let text = provider.metrics().map(|metrics| metrics.to_text());
///     (text.unwrap_or_default(), p2p_core::Metrics::CONTENT_TYPE)
/// }
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

impl Metrics {
    /// What the text is, as HTTP says it.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub(crate) fn new(monitor: Arc<Monitor>, node: Weak<dyn Surveyed>) -> Self {
        let mut registry = Registry::with_prefix("p2p");
        registry.register_collector(Box::new(Scrape { monitor, node }));
        Self(Arc::new(registry))
    }

    /// The values as they are now, in OpenMetrics' text format. The same values give the same text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &self.0);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// A node that can look at its connections.
pub(crate) trait Surveyed: Send + Sync {
    fn survey(&self) -> Survey;
}

/// Asks a node whenever somebody asks for its metrics.
struct Scrape {
    monitor: Arc<Monitor>,
    node: Weak<dyn Surveyed>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let survey = match self.node.upgrade() {
            Some(node) => node.survey(),
            None => Survey { traffic: self.monitor.kept(), ..Survey::default() },
        };
        let mut out = Out(&mut encoder);
        out.seldom(&self.monitor.tally())?;
        out.present(&survey)?;
        out.traffic(&survey)
    }
}

/// Writes families one after the other.
struct Out<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    fn family(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        write: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        // A unit is the end of its metric's name.
        let (name, unit) = match name.strip_suffix("_seconds") {
            Some(name) => (name, Some(&Unit::Seconds)),
            None => (name, None),
        };
        write(self.0.encode_descriptor(name, help, unit, kind)?)
    }

    fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        self.family(MetricType::Counter, name, help, |mut metric| {
            values.into_iter().try_for_each(|(labels, value)| {
                ConstCounter::new(value).encode(metric.encode_family(&labels)?)
            })
        })
    }

    fn total(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encode = |metric: MetricEncoder<'_>| ConstCounter::new(value).encode(metric);
        self.family(MetricType::Counter, name, help, encode)
    }

    fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], f64)>,
    ) -> fmt::Result {
        self.family(MetricType::Gauge, name, help, |mut metric| {
            values.into_iter().try_for_each(|(labels, value)| {
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)
            })
        })
    }

    fn seldom(&mut self, tally: &Tally) -> fmt::Result {
        let help = "Time from connect, or the first packet, to a connection";
        self.family(MetricType::Histogram, "connect_seconds", help, |mut metric| {
            tally.connects.iter().try_for_each(|(direction, times)| {
                let labels = [("direction", word(*direction))];
                let mut metric = metric.encode_family(&labels)?;
                let (sum, count) = (times.sum(), times.count());
                metric.encode_histogram::<NoLabelSet>(sum, count, &times.classes(), None)
            })
        })?;
        let connects = [Direction::Accepted, Direction::Dialled].map(|direction| {
            let count = tally.connects.get(&direction).map_or(0, |times| times.count());
            ([("direction", word(direction))], count)
        });
        self.counter("connects", "Connections that came about", connects)?;
        let failures = tally.failures.iter().map(|((direction, kind), count)| {
            ([("direction", word(*direction)), ("kind", *kind)], *count)
        });
        self.counter("connect_failures", "Connections that did not come about", failures)?;
        let ends = tally
            .ends
            .iter()
            .map(|((by, cause), count)| ([("by", *by), ("cause", *cause)], *count));
        self.counter("connections_ended", "Connections that ended", ends)?;
        self.total("links_lost", "Links that a connection went on without", tally.links_lost)?;
        let attempts = tally.reconnect_attempts;
        self.total("reconnect_attempts", "Attempts at a next link", attempts)?;
        self.total("resumes", "Connections that went on with a next link", tally.resumes)?;
        self.total("failovers", "Links found dead by this side", tally.failovers)?;
        self.total("hedges", "Times that messages began to go over a standby too", tally.hedges)?;
        self.total("switches", "Times that a standby stood for a link", tally.switches)?;
        self.total("heals", "Times that the link was used again after that", tally.heals)?;
        self.total("violations", "Peers that did what they must not", tally.violations)
    }

    fn present(&mut self, survey: &Survey) -> fmt::Result {
        let paths =
            [("direct", survey.direct), ("none", survey.without_path), ("relay", survey.relayed)]
                .map(|(path, count)| ([("path", path)], count as f64));
        self.gauge("connections", "Connections that live", paths)?;
        let standbys =
            [("active", survey.on_standby), ("ready", survey.standbys - survey.on_standby)]
                .map(|(state, count)| ([("state", state)], count as f64));
        self.gauge("standbys", "Standby links", standbys)?;
        let (name, help) = ("connections_reconnecting", "Connections without a link");
        let reconnecting = ConstGauge::new(survey.reconnecting as u64);
        self.family(MetricType::Gauge, name, help, |metric| reconnecting.encode(metric))?;
        let mut trips: Vec<Duration> = survey.round_trips.clone();
        trips.sort_unstable();
        let quantiles = [("0", 0), ("0.5", trips.len() / 2), ("1", trips.len().saturating_sub(1))]
            .into_iter()
            .filter_map(|(quantile, index)| {
                Some(([("quantile", quantile)], trips.get(index)?.as_secs_f64()))
            });
        self.gauge("rtt_seconds", "Round trips of connections that live", quantiles)?;
        let queued = Priority::ALL
            .into_iter()
            .map(|lane| ([("lane", lane_word(lane))], survey.queued[lane.index()] as f64));
        self.gauge("send_queue_bytes", "Bytes that wait for the transport", queued)
    }

    fn traffic(&mut self, survey: &Survey) -> fmt::Result {
        let traffic = &survey.traffic;
        let by_lane = |sent: fn(&_) -> u64, received: fn(&_) -> u64| {
            Priority::ALL.into_iter().flat_map(move |lane| {
                let stats = &traffic.lanes[lane.index()];
                [("sent", sent(stats)), ("received", received(stats))].map(|(direction, value)| {
                    ([("lane", lane_word(lane)), ("direction", direction)], value)
                })
            })
        };
        let messages = by_lane(|lane| lane.messages_sent, |lane| lane.messages_received);
        self.counter("messages", "Messages", messages)?;
        let bytes = by_lane(|lane| lane.message_bytes_sent, |lane| lane.message_bytes_received);
        self.counter("message_bytes", "Bytes in messages", bytes)?;
        let datagrams =
            [("sent", traffic.datagrams_sent), ("received", traffic.datagrams_received)]
                .map(|(direction, value)| ([("direction", direction)], value));
        self.counter("datagrams", "Datagrams", datagrams)?;
        let standby =
            [("hedged", traffic.messages_hedged), ("switched", traffic.messages_on_standby)]
                .map(|(reason, value)| ([("reason", reason)], value));
        self.counter("standby_messages", "Messages over a standby", standby)?;
        let dropped = [("sent", traffic.datagrams_dropped), ("received", traffic.datagrams_unread)]
            .map(|(direction, value)| ([("direction", direction)], value));
        self.counter("datagrams_dropped", "Datagrams that this side threw away", dropped)
    }
}

const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Accepted => "accepted",
        Direction::Dialled => "dialled",
    }
}

const fn lane_word(lane: Priority) -> &'static str {
    match lane {
        Priority::Bulk => "bulk",
        Priority::Normal => "normal",
        Priority::Realtime => "realtime",
        Priority::Control => "control",
    }
}
