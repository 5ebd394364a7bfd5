//! Each property of a link against its own definition, over a million packets.
//!
//! Bounds are five standard deviations of the quantity under the definition: one run in two million
//! would be outside by chance, and with a fixed seed it either is or is not.

use std::time::Duration;

use super::*;
use crate::engine::random::LinkRandoms;
use crate::profile::BurstLoss;

const MS: Nanos = 1_000_000;
const PACKETS: usize = 1_000_000;
/// 1250 bytes on the wire.
const BYTES: usize = 1250 - OVERHEAD as usize;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn plain() -> LinkProfile {
    LinkProfile::new().with_latency(ms(40))
}

/// The draws of link number 0, from 1 to 2.
const fn draws(randoms: &mut LinkRandoms) -> Draws<'_> {
    Draws { randoms, seed: 7, link: 0, places: [1, 2] }
}

/// The fates of so many datagrams, all sent at 0.
fn fates(profile: &LinkProfile, count: usize) -> Vec<Fate> {
    assert_eq!(profile.check(), Ok(()));
    let compiled = Compiled::from(profile);
    let (mut link, mut randoms) = (Link::new(1, 2, 0), LinkRandoms::default());
    let mut draws = draws(&mut randoms);
    (0..count).map(|_| link.transmit(0, &mut draws, BYTES, true, &compiled)).collect()
}

/// How long a million packets were on their way.
fn times(profile: &LinkProfile) -> Vec<f64> {
    let time = |fate| match fate {
        Fate::Arrives(at) => at as f64,
        other => panic!("expected an arrival: {other:?}"),
    };
    fates(profile, PACKETS).into_iter().map(time).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

#[track_caller]
fn assert_near(value: f64, expected: f64, sigma: f64) {
    let off = (value - expected) / sigma;
    assert!(off.abs() < 5.0, "{value} instead of {expected}: {off} standard deviations");
}

/// The share of a million packets of which `which` is true, where each is by itself.
#[track_caller]
fn assert_share(fates: &[Fate], which: impl Fn(&Fate) -> bool, p: f64) {
    let n = fates.len() as f64;
    let hits = fates.iter().filter(|fate| which(fate)).count() as f64;
    // Binomial: variance n p (1 - p).
    assert_near(hits, n * p, (n * p * (1.0 - p)).sqrt());
}

const fn is_lost(fate: &Fate) -> bool {
    matches!(fate, Fate::Lost { .. })
}

#[test]
fn a_fixed_latency_is_exact() {
    let profile = plain().with_latency(Duration::from_nanos(12_345_679));
    assert_eq!(fates(&profile, 1000), [Fate::Arrives(12_345_679); 1000]);
}

#[test]
fn an_even_latency_is_even() {
    let model = Latency::Uniform { min: ms(20), max: ms(60) };
    let times = times(&plain().with_latency_model(model));
    let (low, high) = (20.0 * MS as f64, 60.0 * MS as f64);
    assert!(times.iter().all(|time| (low..=high).contains(time)));
    // Width w = 40 ms: standard deviation w / sqrt(12), that of the mean over n sqrt(n) less.
    let sigma = (high - low) / 12f64.sqrt();
    assert_near(mean(&times), 40.0 * MS as f64, sigma / 1e3);
    // Each tenth holds a tenth: binomial, n = 10^6 and p = 0.1, standard deviation 300.
    for tenth in 0..10 {
        let from = low + f64::from(tenth) * (high - low) / 10.0;
        let within = |time: &&f64| (from..from + (high - low) / 10.0).contains(*time);
        assert_near(times.iter().filter(within).count() as f64, 100_000.0, 300.0);
    }
}

#[test]
fn a_normal_latency_is_normal() {
    let model = Latency::Normal { mean: ms(100), deviation: ms(10) };
    let times = times(&plain().with_latency_model(model));
    let sigma = 10.0 * MS as f64;
    // The mean's deviation is sigma / sqrt(n), the deviation's sigma / sqrt(2 n).
    assert_near(mean(&times), 100.0 * MS as f64, sigma / 1e3);
    assert_near(deviation(&times), sigma, sigma / 2e6f64.sqrt());
    // Shares below the mean plus z deviations, from the tables; binomial.
    for (z, share) in [(-3.0, 0.001_349_9), (-1.0, 0.158_655), (0.0, 0.5), (2.0, 0.977_250)] {
        let below = times.iter().filter(|time| **time < 100.0 * MS as f64 + z * sigma).count();
        assert_near(below as f64, 1e6 * share, (1e6 * share * (1.0 - share)).sqrt());
    }
}

#[test]
fn a_normal_latency_is_truncated_at_zero() {
    let model = Latency::Normal { mean: ms(10), deviation: ms(10) };
    let times = times(&plain().with_latency_model(model));
    // Truncated one deviation below its mean m: the mean is m + s * phi(1) / Phi(1), with 0.241971
    // and 0.841345; the variance s^2 * (1 - a - a^2) with a = 0.287600, so 0.62969 s^2.
    let sigma = 10.0 * MS as f64;
    assert_near(mean(&times), sigma * 1.287_600, sigma * 0.629_69f64.sqrt() / 1e3);
}

#[test]
fn jitter_is_even_on_top_of_the_latency() {
    let times = times(&plain().with_jitter(ms(12)));
    let (low, high) = (40.0 * MS as f64, 52.0 * MS as f64);
    assert!(times.iter().all(|time| (low..=high).contains(time)));
    // As for an even latency: w / sqrt(12) / sqrt(n).
    assert_near(mean(&times), 46.0 * MS as f64, (high - low) / 12f64.sqrt() / 1e3);
}

#[test]
fn independent_loss_takes_its_share_without_memory() {
    let fates = fates(&plain().with_loss(0.02), PACKETS);
    assert_share(&fates, is_lost, 0.02);
    // Pairs of losses in a row: p^2 of them. The overlap of neighbouring pairs adds little to the
    // binomial variance: n p^2 (1 - p^2 + 2 p).
    let pairs = fates.windows(2).filter(|pair| pair.iter().all(is_lost)).count() as f64;
    assert_near(pairs, 400.0, (400.0 * 1.04f64).sqrt());
}

#[test]
fn bursts_are_as_frequent_and_as_long_as_they_say() {
    let (p, r) = (0.01, 0.25);
    let fates = fates(&plain().with_burst_loss(BurstLoss::new(p, r)), PACKETS);
    let lost: Vec<bool> = fates.iter().map(is_lost).collect();
    // Bad for p / (p + r) of the time. The variance of such a chain's mean is that of independent
    // draws times (1 + c) / (1 - c), with c = 1 - p - r, the correlation from packet to packet.
    let (bad, c) = (p / (p + r), 1.0 - p - r);
    let n = PACKETS as f64;
    let sigma = (n * bad * (1.0 - bad) * (1.0 + c) / (1.0 - c)).sqrt();
    assert_near(lost.iter().filter(|lost| **lost).count() as f64, n * bad, sigma);
    // Bursts have a geometric length: mean 1 / r, standard deviation sqrt(1 - r) / r.
    let bursts: Vec<f64> =
        lost.chunk_by(|a, b| a == b).filter(|run| run[0]).map(|run| run.len() as f64).collect();
    let sigma = (1.0 - r).sqrt() / r / (bursts.len() as f64).sqrt();
    assert_near(mean(&bursts), 1.0 / r, sigma);
}

#[test]
fn each_state_of_a_burst_loses_its_own_share() {
    let (p, r, good, bad) = (0.1, 0.3, 0.01, 0.6);
    let bursts = BurstLoss::new(p, r).with_losses(good, bad);
    let fates = fates(&plain().with_burst_loss(bursts), PACKETS);
    let share_bad = p / (p + r);
    let share = share_bad * bad + (1.0 - share_bad) * good;
    // Independent draws, plus what neighbours share: 2 * variance of the state's share * c / (1 - c).
    let c = 1.0 - p - r;
    let common = share_bad * (1.0 - share_bad) * (bad - good) * (bad - good);
    let variance = share * (1.0 - share) + 2.0 * common * c / (1.0 - c);
    let lost = fates.iter().filter(|fate| is_lost(fate)).count() as f64;
    assert_near(lost, 1e6 * share, (1e6 * variance).sqrt());
}

#[test]
fn a_share_of_packets_is_held_back() {
    let fates = fates(&plain().with_reordering(0.1, ms(5)), PACKETS);
    assert!(fates.iter().all(|f| [Fate::Arrives(40 * MS), Fate::Arrives(45 * MS)].contains(f)));
    assert_share(&fates, |fate| *fate == Fate::Arrives(45 * MS), 0.1);
}

#[test]
fn a_share_of_datagrams_comes_twice_and_no_other_packet() {
    let profile = plain().with_duplication(0.03);
    let fates = fates(&profile, PACKETS);
    assert_share(&fates, |fate| *fate == Fate::Twice(40 * MS, 40 * MS), 0.03);
    let compiled = Compiled::from(&profile);
    let mut link = Link::new(1, 2, 0);
    let mut randoms = LinkRandoms::default();
    let mut draws = draws(&mut randoms);
    let once = |_| link.transmit(0, &mut draws, BYTES, false, &compiled) == Fate::Arrives(40 * MS);
    assert!((0..10_000).all(once));
}

#[test]
fn bandwidth_queues_packets_behind_each_other() {
    // 1250 bytes on the wire at 10 Mbit/s take 1 ms each: a million of them 1000 s.
    let profile = LinkProfile::new()
        .with_latency(Duration::ZERO)
        .with_bandwidth(10_000_000)
        .with_queue(Duration::from_secs(3600));
    let expected = (1..=PACKETS as u64).map(|ms| Fate::Arrives(ms * MS));
    assert!(fates(&profile, PACKETS).into_iter().eq(expected));
}

#[test]
fn a_full_queue_drops_what_comes_last() {
    let limited = LinkProfile::new().with_latency(Duration::ZERO).with_bandwidth(10_000_000);
    // Five packets of 1 ms, or of 1250 bytes.
    for profile in [limited.clone().with_queue(ms(5)), limited.with_queue_bytes(5 * 1250 + 1)] {
        let fates = fates(&profile, 20);
        assert_eq!(fates[..5], [1, 2, 3, 4, 5].map(|ms| Fate::Arrives(ms * MS)));
        assert_eq!(fates[5..], [Fate::Dropped { ahead: 5 * MS }; 15]);
    }
}

#[test]
fn a_packet_longer_than_the_queue_passes_an_idle_link() {
    let profile = plain().with_bandwidth(10_000_000).with_queue(Duration::ZERO);
    assert_eq!(fates(&profile, 1), [Fate::Arrives(41 * MS)]);
}

#[test]
fn properties_do_not_draw_from_each_other() {
    let lossy = plain().with_loss(0.1);
    let jittery =
        lossy.clone().with_jitter(ms(9)).with_duplication(0.1).with_reordering(0.1, ms(1));
    let lost = |profile| fates(&profile, 10_000).iter().map(is_lost).collect::<Vec<_>>();
    assert_eq!(lost(lossy.clone()), lost(jittery), "the same packets are lost");
    let bursts = lossy.clone().with_burst_loss(BurstLoss::new(0.01, 0.2));
    let (alone, both) = (lost(lossy), lost(bursts));
    assert!(alone.iter().zip(&both).all(|(alone, both)| !alone || *both), "those, and more");
}

#[test]
fn a_link_without_chance_has_no_randomness() {
    let compiled = Compiled::from(&plain().with_bandwidth(1_000_000_000));
    let (mut link, mut randoms) = (Link::new(1, 2, 0), LinkRandoms::default());
    for _ in 0..100 {
        link.transmit(0, &mut draws(&mut randoms), BYTES, true, &compiled);
    }
    assert!(randoms.is_empty());
    // Both directions of an idle link, with their places in a map, are well within 1 KiB.
    assert!(2 * (size_of::<Link>() + 32) <= 512, "{}", size_of::<Link>());
}
