//! What is measured in one go, by whom, and how.

use p2p_benches::{Metric, Result};

use crate::child::{Task, expect_answer, start};
#[cfg(feature = "peers")]
use crate::madsim;
use crate::meter::Plan;
#[cfg(feature = "peers")]
use crate::turmoil;
use crate::wire::{Conn, Raw};
use crate::{attack, connect, exact, hosts, memory, metrics, pair, seeds, silence};

pub(crate) const OURS: &str = "ours";
pub(crate) const TURMOIL: &str = "turmoil";
pub(crate) const MADSIM: &str = "madsim";

/// What is measured in one go.
pub(crate) struct Trial {
    pub(crate) metrics: &'static [Metric],
    pub(crate) frequency: Frequency,
    runs: &'static [(&'static str, Run)],
}

/// Whether the rounds repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frequency {
    /// What has no spread, and takes long.
    Once,
    Rounds,
}

/// One number for each of the trial's metrics, in their order.
type Run = fn(Plan) -> Result<Vec<f64>>;

impl Trial {
    const fn new(metrics: &'static [Metric], runs: &'static [(&'static str, Run)]) -> Self {
        Self { metrics, frequency: Frequency::Rounds, runs }
    }

    const fn once(self) -> Self {
        Self { frequency: Frequency::Once, ..self }
    }

    /// The first of its metrics names it.
    pub(crate) fn name(&self) -> &'static str {
        self.metrics[0].name
    }

    pub(crate) fn contestants(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.runs.iter().map(|(name, _)| *name)
    }

    /// Measures it in a process of its own.
    pub(crate) fn measure(&'static self, contestant: &'static str, plan: Plan) -> Result<Vec<f64>> {
        #[cfg(feature = "peers")]
        if contestant == MADSIM {
            return madsim::measure(self.name(), plan);
        }
        let values = expect_answer(start(Task::Trial { trial: self, contestant }, plan)?)?;
        if values.len() != self.metrics.len() {
            return Err(
                format!("{} values for {} metrics", values.len(), self.metrics.len()).into()
            );
        }
        Ok(values)
    }

    /// Measures it here.
    pub(crate) fn run(&self, contestant: &str, plan: Plan) -> Result<Vec<f64>> {
        let run = self.runs.iter().find(|(name, _)| *name == contestant);
        let (_, run) = run.ok_or_else(|| format!("{contestant} does not take part"))?;
        run(plan)
    }
}

/// Only named: a process of another program measures it.
#[cfg(feature = "peers")]
const ELSEWHERE: Run = |_| Err("this is madsim's own program's to measure".into());

/// All of them, in the order of the report.
pub(crate) static TRIALS: &[Trial] = &[
    Trial::new(
        &[metrics::PAIR_64],
        &[
            (OURS, |plan| pair::messages::<Raw>(plan, 64)),
            #[cfg(feature = "peers")]
            (TURMOIL, |plan| turmoil::messages(plan, 64)),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(
        &[metrics::PAIR_1K],
        &[
            (OURS, |plan| pair::messages::<Raw>(plan, 1024)),
            #[cfg(feature = "peers")]
            (TURMOIL, |plan| turmoil::messages(plan, 1024)),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(
        &[metrics::PING_PONG],
        &[
            (OURS, pair::ping_pong::<Raw>),
            #[cfg(feature = "peers")]
            (TURMOIL, turmoil::ping_pong),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(
        &[metrics::HOSTS_100],
        &[
            (OURS, |plan| virtual_seconds(hosts::virtual_seconds::<Raw>(plan, 100))),
            #[cfg(feature = "peers")]
            (TURMOIL, |plan| turmoil::hosts(plan, 100)),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(
        &[metrics::HOSTS_1000],
        &[
            (OURS, |plan| virtual_seconds(hosts::virtual_seconds::<Raw>(plan, 1000))),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(
        &[metrics::HOSTS_10000],
        &[
            (OURS, |plan| virtual_seconds(hosts::virtual_seconds::<Raw>(plan, 10_000))),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(
        &[metrics::HOSTS_100000, metrics::HOSTS_100000_MIB],
        &[(OURS, |plan| hosts::virtual_seconds::<Raw>(plan, 100_000))],
    ),
    Trial::new(&[metrics::KIB_PER_HOST, metrics::KIB_PER_LINK], &[(OURS, memory::idle::<Raw>)]),
    Trial::new(
        &[metrics::SEEDS],
        &[
            (OURS, seeds::rate::<Raw>),
            #[cfg(feature = "peers")]
            (TURMOIL, turmoil::seeds),
            #[cfg(feature = "peers")]
            (MADSIM, ELSEWHERE),
        ],
    ),
    Trial::new(&[metrics::SILENT_YEAR], &[(OURS, silence::year::<Raw>)]),
    Trial::new(&[metrics::DELIVERY_ERROR], &[(OURS, exact::error::<Raw>)]).once(),
    Trial::new(
        &[metrics::DIFFERING_HASHES],
        &[(OURS, |plan| seeds::differing_hashes(plan, Task::Hashes))],
    )
    .once(),
    Trial::new(&[metrics::CONNECT], &[(OURS, |_| connect::time::<Raw>())]).once(),
    Trial::new(&[metrics::CONN_PAIR_64], &[(OURS, |plan| pair::messages::<Conn>(plan, 64))]),
    Trial::new(&[metrics::CONN_PAIR_1K], &[(OURS, |plan| pair::messages::<Conn>(plan, 1024))]),
    Trial::new(&[metrics::CONN_PING_PONG], &[(OURS, pair::ping_pong::<Conn>)]),
    Trial::new(
        &[metrics::CONN_HOSTS_100],
        &[(OURS, |plan| virtual_seconds(hosts::virtual_seconds::<Conn>(plan, 100)))],
    ),
    Trial::new(
        &[metrics::CONN_HOSTS_1000],
        &[(OURS, |plan| virtual_seconds(hosts::virtual_seconds::<Conn>(plan, 1000)))],
    ),
    Trial::new(
        &[metrics::CONN_HOSTS_10000],
        &[(OURS, |plan| virtual_seconds(hosts::virtual_seconds::<Conn>(plan, 10_000)))],
    ),
    Trial::new(
        &[metrics::CONN_HOSTS_100000, metrics::CONN_HOSTS_100000_MIB],
        &[(OURS, |plan| hosts::virtual_seconds::<Conn>(plan, 100_000))],
    ),
    Trial::new(
        &[metrics::CONN_KIB_PER_HOST, metrics::CONN_KIB_PER_LINK],
        &[(OURS, memory::idle::<Conn>)],
    ),
    Trial::new(&[metrics::CONN_SEEDS], &[(OURS, seeds::rate::<Conn>)]),
    Trial::new(&[metrics::CONN_SILENT_YEAR], &[(OURS, silence::year::<Conn>)]),
    Trial::new(&[metrics::CONN_DELIVERY_ERROR], &[(OURS, exact::error::<Conn>)]).once(),
    Trial::new(
        &[metrics::CONN_DIFFERING_HASHES],
        &[(OURS, |plan| seeds::differing_hashes(plan, Task::ConnHashes))],
    )
    .once(),
    Trial::new(&[metrics::CONN_CONNECT], &[(OURS, |_| connect::time::<Conn>())]).once(),
    Trial::new(&[metrics::CONN_FEATURES], &[(OURS, pair::features)]),
    Trial::new(&[metrics::ATTACK_COST, metrics::ATTACK_DIAL], &[(OURS, attack::cost)]),
];

/// Without the memory, which says little of fewer hosts.
fn virtual_seconds(measured: Result<Vec<f64>>) -> Result<Vec<f64>> {
    measured.map(|values| values.into_iter().take(1).collect())
}
