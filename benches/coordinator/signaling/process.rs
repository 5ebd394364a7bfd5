//! The bench's processes: a service, and its clients.

use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use p2p_benches::Result;
use tokio::time::Instant;

use crate::Role;

/// How long to measure, and with how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Peers who say nothing.
    pub(crate) idle: usize,
    is_quick: bool,
}

impl Plan {
    pub(crate) const fn new(is_quick: bool) -> Self {
        let millis = Duration::from_millis;
        if is_quick {
            Self { warm_up: millis(200), window: millis(500), idle: 1000, is_quick }
        } else {
            Self { warm_up: millis(1000), window: millis(4000), idle: 19_600, is_quick }
        }
    }
}

pub(crate) fn on_one_thread(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Serves until the bench has gone.
#[allow(clippy::disallowed_methods, reason = "a process of its own, in which nothing is simulated")]
pub(crate) async fn until_the_bench_is_gone() {
    let gone = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let _ = gone.await;
}

/// A process that ends with this value.
pub(crate) struct Process {
    child: Child,
    _input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    at: String,
}

impl Process {
    fn start(role: Role, plan: Plan, more: &[String]) -> Result<Self> {
        let name = role.to_possible_value().map(|value| value.get_name().to_owned());
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--role").args(name).args(more).args(plan.is_quick.then_some("--quick"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let input = child.stdin.take();
        Ok(Self { child, _input: input, output: BufReader::new(output), at: String::new() })
    }

    /// A service that serves.
    pub(crate) fn serve(role: Role, plan: Plan) -> Result<Self> {
        let mut service = Self::start(role, plan, &[])?;
        service.at = service.line()?;
        Ok(service)
    }

    /// A client of this service.
    pub(crate) fn client(
        &self,
        role: Role,
        plan: Plan,
        peers: Option<(usize, usize)>,
    ) -> Result<Self> {
        let mut more = vec!["--at".to_owned(), self.at.clone()];
        if let Some((first, count)) = peers {
            more.extend(["--peers".to_owned(), first.to_string(), count.to_string()]);
        }
        Self::start(role, plan, &more)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("a process of the bench ended early".into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    /// What it found.
    pub(crate) fn numbers(mut self, count: usize) -> Result<Vec<f64>> {
        let line = self.line()?;
        let numbers: Vec<f64> =
            line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        match numbers.len() == count {
            true => Ok(numbers),
            false => Err(format!("{count} numbers expected, not {line:?}").into()),
        }
    }

    /// Its CPU time so far, counted in hundredths of a second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may have spaces: user and system time are the 12th and 13th.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let times: Vec<u64> =
            fields.skip(11).take(2).filter_map(|time| time.parse().ok()).collect();
        match times[..] {
            [user, system] => Ok(Duration::from_millis(10 * (user + system))),
            _ => Err("no times in /proc: this needs Linux".into()),
        }
    }

    /// Its resident memory, in KiB.
    fn resident_kib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no VmRSS in /proc: this needs Linux")?.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a crowd of peers costs.
pub(crate) struct Crowd {
    /// How many come a second.
    pub(crate) per_s: f64,
    /// The service's CPU time for each, in microseconds.
    pub(crate) cpu_us: f64,
    /// Its memory for each, in KiB.
    pub(crate) kib: f64,
}

/// Connects a crowd from two processes.
pub(crate) fn crowd(role: Role, plan: Plan) -> Result<Crowd> {
    let service = Process::serve(role, plan)?;
    let (before, spent) = (service.resident_kib()?, service.cpu()?);
    let half = plan.idle / 2;
    let begun = Instant::now();
    let mut clients = Vec::new();
    for first in [0, half] {
        clients.push(service.client(Role::Idle, plan, Some((first, half)))?);
    }
    for client in &mut clients {
        client.line()?;
    }
    let took = begun.elapsed().as_secs_f64();
    let (after, spent) = (service.resident_kib()?, service.cpu()? - spent);
    let peers = (2 * half) as f64;
    let cpu_us = spent.as_secs_f64() * 1e6 / peers;
    Ok(Crowd { per_s: peers / took, cpu_us, kib: (after - before) / peers })
}
