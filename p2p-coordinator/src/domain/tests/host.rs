//! How good a host is.

use proptest::prelude::*;

use super::super::host::quality_score;
use super::super::{HostRecord, HostView, Load};
use super::host;

/// What the score depends on: latency, loss, players, most players, cores, memory, line.
type Facts = (f64, f64, u32, u32, u32, u32, u32);

fn score((latency, loss, players, max_players, cores, memory, line): Facts) -> f64 {
    let record = HostRecord {
        latency_ms: latency,
        packet_loss_percent: loss,
        max_players,
        cpu_cores: cores,
        memory_mb: memory,
        network_speed_mbps: line,
        ..host(1).value
    };
    quality_score(&record, players)
}

/// By hand from the contract's formula:
/// `max(0, 30 - latency / 10) + max(0, 20 - 2 * loss) + 25 * (1 - players / max_players)
/// + min(10, 10 * cores / 4) + min(10, 10 * memory / 8192) + min(5, 5 * line / 100)`.
#[test]
fn scores_are_those_of_the_contract() {
    let table: [(&str, Facts, f64); 19] = [
        ("just strong enough, and fresh", (0.0, 0.0, 0, 50, 4, 8192, 100), 100.0),
        ("stronger than counts", (0.0, 0.0, 0, 50, 128, 1 << 20, 10_000), 100.0),
        ("50 ms: 30 - 5", (50.0, 0.0, 0, 50, 4, 8192, 100), 95.0),
        ("12.3 ms: 30 - 1.23", (12.3, 0.0, 0, 50, 4, 8192, 100), 98.77),
        ("300 ms: nothing left of 30", (300.0, 0.0, 0, 50, 4, 8192, 100), 70.0),
        ("more latency takes no more", (90_000.0, 0.0, 0, 50, 4, 8192, 100), 70.0),
        ("5 %: 20 - 10", (0.0, 5.0, 0, 50, 4, 8192, 100), 90.0),
        ("0.333 %: 20 - 0.666", (0.0, 0.333, 0, 50, 4, 8192, 100), 99.33),
        ("more loss takes no more", (0.0, 100.0, 0, 50, 4, 8192, 100), 80.0),
        ("half full: 12.5 of 25", (0.0, 0.0, 25, 50, 4, 8192, 100), 87.5),
        ("a third full: 16.666 of 25", (0.0, 0.0, 1, 3, 4, 8192, 100), 91.67),
        ("full", (0.0, 0.0, 50, 50, 4, 8192, 100), 75.0),
        ("twice as many as it carries: -25", (0.0, 0.0, 100, 50, 4, 8192, 100), 50.0),
        ("five times as many: no less than 0", (0.0, 0.0, 250, 50, 4, 8192, 100), 0.0),
        ("carries nobody: counts as full", (0.0, 0.0, 0, 0, 4, 8192, 100), 75.0),
        ("one core: 2.5 of 10", (0.0, 0.0, 0, 50, 1, 8192, 100), 92.5),
        ("1 GiB: 1.25 of 10", (0.0, 0.0, 0, 50, 4, 1024, 100), 91.25),
        ("1 Mbit/s: 0.05 of 5", (0.0, 0.0, 0, 50, 4, 8192, 1), 95.05),
        ("the least of all: 2.5 + 0.00122 + 0.05", (999.0, 99.0, 50, 50, 1, 1, 1), 2.55),
    ];
    for (what, facts, expected) in table {
        assert_eq!(score(facts), expected, "{what}");
    }
}

#[test]
fn what_was_placed_counts_if_it_is_more_than_what_was_reported() {
    let mut row = host(1);
    row.value.reported = Load { players: 10, zones: 3 };
    let view = HostView { row, placed: Load { players: 25, zones: 1 } };
    assert_eq!(view.load(), Load { players: 25, zones: 3 });
    assert_eq!(view.score(), 87.5, "25 of 50 players");
    assert_eq!(view.to_api().current_players, 25);
}

/// What a validated request or an unvalidated record may hold.
fn facts() -> impl Strategy<Value = Facts> {
    let latency = prop_oneof![0.0..400.0_f64, Just(0.0), 0.0..f64::MAX, Just(f64::INFINITY)];
    let loss = prop_oneof![0.0..=100.0_f64, Just(f64::MAX), Just(f64::NAN)];
    let number = || prop_oneof![0..100_u32, any::<u32>()];
    (latency, loss, number(), number(), number(), 0..20_000_u32, number())
}

proptest! {
    #[test]
    fn a_score_is_from_0_to_100_with_two_decimals(facts in facts()) {
        let score = score(facts);
        prop_assert!((0.0..=100.0).contains(&score), "{score}");
        let printed: f64 = format!("{score:.2}").parse().unwrap();
        prop_assert_eq!(printed, score);
    }

    #[test]
    fn a_score_never_grows_with_latency_loss_or_players(
        facts in facts(),
        latency in 0.0..1000.0_f64,
        loss in 0.0..=100.0_f64,
        players in 0..1000_u32,
    ) {
        let (.., max, cores, memory, line) = facts;
        let before = (facts.0.min(1e6), if facts.1.is_nan() { 0.0 } else { facts.1 }, facts.2);
        let at = |latency, loss, players| score((latency, loss, players, max, cores, memory, line));
        let best = at(before.0, before.1, before.2);
        prop_assert!(at(before.0 + latency, before.1, before.2) <= best);
        prop_assert!(at(before.0, before.1 + loss, before.2) <= best);
        prop_assert!(at(before.0, before.1, before.2.saturating_add(players)) <= best);
    }

    #[test]
    fn a_score_never_shrinks_with_cores_memory_or_line(facts in facts(), more in 0..1000_u32) {
        let (latency, loss, players, max, cores, memory, line) = facts;
        let at = |cores, memory, line| score((latency, loss, players, max, cores, memory, line));
        let worst = at(cores, memory, line);
        prop_assert!(at(cores.saturating_add(more), memory, line) >= worst);
        prop_assert!(at(cores, memory.saturating_add(more), line) >= worst);
        prop_assert!(at(cores, memory, line.saturating_add(more)) >= worst);
    }
}
