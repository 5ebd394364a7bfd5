//! Links as they are out there.

use std::time::Duration;

use super::{BurstLoss, LinkProfile};

/// Kinds of links, with numbers from measurements where there are any: the sources are at each, and in
/// `docs/simulator-model.md`. The numbers are rounded: they are typical, not those of one provider.
/// What is not named below is our own choice, of the order that such links are known for: among them
/// all jitter, and nearly all losses and queues.
///
/// A link leads from one host to another, so a preset stands for the whole way of which its kind of
/// access is the narrow part. For two such hosts behind each other, add the latencies up.
///
/// ```
/// use p2p_simulator::{Preset, Simulation};
///
/// let run = Simulation::new(1).run(async |network| {
///     let [home, server] = ["home", "server"].map(|name| network.host(name));
///     network.set_link_one_way(&server, &home, &Preset::Cable.down())?;
///     network.set_link_one_way(&home, &server, &Preset::Cable.up())
/// })?;
/// assert_eq!(run.output, Ok(()));
/// # Ok::<(), p2p_simulator::SimulationError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// Cable television's network: 200 and 10 Mbit/s, a round trip of 20 ms.
    ///
    /// All of it is our own choice. That unmanaged queues are long: Gettys and Nichols, *Bufferbloat:
    /// Dark Buffers in the Internet* (ACM Queue 9(11), 2011); 250 ms is the mild case.
    Cable,
    /// Fifth generation mobile, mid-band: 50 and 15 Mbit/s, a round trip of 40 ms.
    ///
    /// Rizvi, Heidemann and Plonka, *Third-Party Assessment of Mobile Performance in the 5G Era* (arXiv
    /// 2507.18834, 2025): about 60 % of users see less than 50 Mbit/s, and only the top 5 % regularly a
    /// least latency below 20 ms. The round trip and the way up are our own choice.
    FiveG,
    /// A geostationary satellite: 25 and 3 Mbit/s, a round trip of 600 ms.
    ///
    /// RFC 2488, section 2: one way up and down takes 239.6 ms at best and up to 279 ms, so that a
    /// round trip has up to 558 ms before any processing. The speeds were the FCC's minimum for broadband
    /// from 2015 to 2024.
    GeoSatellite,
    /// Copper at home: 25 and 5 Mbit/s, a round trip of 38 ms.
    ///
    /// FCC, *Measuring Broadband America* (2016) as published by Verizon for its DSL: 37.05 to
    /// 39.65 ms. The speeds are our own choice. Impulse noise loses packets in bursts.
    HomeDsl,
    /// Between continents, backbone to backbone: 1 Gbit/s, a round trip of 160 ms.
    ///
    /// What Verizon guarantees for Los Angeles to Tokyo; for New York to London it is 90 ms, for
    /// Singapore to the United States 260 ms. The speed is our own choice.
    Intercontinental,
    /// One switch between two machines: 1 Gbit/s (IEEE 802.3ab), a round trip of 0.2 ms.
    ///
    /// A packet of 1500 bytes takes 12 us to send; the rest, our own choice, is interrupts and
    /// switching.
    Lan,
    /// A satellite in low orbit: 150 and 15 Mbit/s, a round trip of 50 ms, with bursts of loss.
    ///
    /// Michel et al., *A First Look at Starlink Performance* (IMC 2022): from Belgium, a median of
    /// 50 ms and quartiles of 40 and 60 ms; the operator promises 100 to 200 Mbit/s. Ookla's medians
    /// for Europe in 2023 are mostly 10 to 15 Mbit/s up. Kassem et al., *A Browser-side View of Starlink
    /// Connectivity* (IMC 2022): up to half of all packets lost around handovers.
    LeoSatellite,
    /// Fourth generation mobile: 13 and 6 Mbit/s, a round trip of 70 ms.
    ///
    /// Huang et al., *A Close Examination of Performance and Power Characteristics of 4G LTE
    /// Networks* (MobiSys 2012): these speeds as medians. The round trip is our own choice.
    Lte,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cable,
        Self::FiveG,
        Self::GeoSatellite,
        Self::HomeDsl,
        Self::Intercontinental,
        Self::Lan,
        Self::LeoSatellite,
        Self::Lte,
    ];

    /// Towards the subscriber.
    pub const fn down(self) -> LinkProfile {
        let bits = match self {
            Self::Cable => 200 * MEGA,
            Self::FiveG => 50 * MEGA,
            Self::GeoSatellite | Self::HomeDsl => 25 * MEGA,
            Self::Intercontinental | Self::Lan => 1_000 * MEGA,
            Self::LeoSatellite => 150 * MEGA,
            Self::Lte => 13 * MEGA,
        };
        self.either_way().with_bandwidth(bits)
    }

    /// Away from the subscriber.
    pub const fn up(self) -> LinkProfile {
        let bits = match self {
            Self::Cable => 10 * MEGA,
            Self::FiveG | Self::LeoSatellite => 15 * MEGA,
            Self::GeoSatellite => 3 * MEGA,
            Self::HomeDsl => 5 * MEGA,
            Self::Intercontinental | Self::Lan => 1_000 * MEGA,
            Self::Lte => 6 * MEGA,
        };
        self.either_way().with_bandwidth(bits)
    }

    /// Half of the round trip, of which half of the jitter is a part, and what may be lost.
    const fn either_way(self) -> LinkProfile {
        let new = LinkProfile::new();
        match self {
            Self::Cable => new
                .with_latency(us(9_000))
                .with_jitter(us(2_000))
                .with_loss(0.000_5)
                .with_queue(us(250_000)),
            Self::FiveG => new
                .with_latency(us(16_000))
                .with_jitter(us(8_000))
                .with_burst_loss(BurstLoss::new(0.000_2, 0.2))
                .with_queue(us(200_000)),
            Self::GeoSatellite => new
                .with_latency(us(290_000))
                .with_jitter(us(20_000))
                .with_burst_loss(BurstLoss::new(0.000_5, 0.1))
                .with_queue(us(500_000)),
            Self::HomeDsl => new
                .with_latency(us(18_000))
                .with_jitter(us(2_000))
                .with_burst_loss(BurstLoss::new(0.000_2, 0.1))
                .with_queue(us(150_000)),
            Self::Intercontinental => new
                .with_latency(us(79_500))
                .with_jitter(us(1_000))
                .with_loss(0.000_5)
                .with_queue(us(100_000)),
            Self::Lan => new.with_latency(us(90)).with_jitter(us(20)).with_queue(us(5_000)),
            Self::LeoSatellite => new
                .with_latency(us(20_000))
                .with_jitter(us(10_000))
                .with_burst_loss(BurstLoss::new(0.000_5, 0.05).with_losses(0.000_5, 0.5))
                .with_queue(us(150_000)),
            Self::Lte => new
                .with_latency(us(30_000))
                .with_jitter(us(10_000))
                .with_burst_loss(BurstLoss::new(0.000_2, 0.2))
                .with_queue(us(300_000)),
        }
    }
}

const MEGA: u64 = 1_000_000;

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_possible() {
        for preset in Preset::ALL {
            assert_eq!(
                (preset.down().check(), preset.up().check()),
                (Ok(()), Ok(())),
                "{preset:?}"
            );
        }
    }
}
