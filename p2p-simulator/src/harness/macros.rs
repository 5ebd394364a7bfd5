//! The short form of a test over many seeds.

/// A `#[test]` that runs an `async fn` in virtual time, once for each seed, on all cores.
///
/// The function takes a [`Network`](crate::Network) and returns a `Result`. A seed fails by an error,
/// a panic, a deadlock, a limit or an invariant; the test then says which seed, why, and the line that
/// repeats it. `SIMULATOR_P2P_SEED=7` runs one seed, `SIMULATOR_P2P_SEEDS=100000` or `=500..600` others
/// than the text says.
///
/// ```
/// use p2p_core::ConnectionConfig;
/// use p2p_simulator::{LinkProfile, Network, Simulation, sim_test};
///
/// sim_test! {
///     seeds = 1000;
///     async fn hosts_have_different_names(network: Network) -> Result<(), String> {
///         let [alice, bob] = [network.host("alice"), network.host("bob")];
///         if alice.peer_id() == bob.peer_id() { Err("the same".into()) } else { Ok(()) }
///     }
/// }
///
/// sim_test! {
///     seeds = 100;
///     simulation = Simulation::new(0).with_link(LinkProfile::new().with_loss(0.1));
///     async fn it_binds_on_a_lossy_network(network: Network) -> p2p_core::Result<()> {
///         network.host("alice").provider(ConnectionConfig::default())?;
///         Ok(())
///     }
/// }
/// # hosts_have_different_names();
/// # it_binds_on_a_lossy_network();
/// ```
#[macro_export]
macro_rules! sim_test {
    (
        seeds = $seeds:expr;
        $(#[$attribute:meta])*
        async fn $name:ident($network:ident: $type:ty) -> $output:ty $body:block
    ) => {
        $crate::sim_test! {
            seeds = $seeds;
            simulation = $crate::Simulation::new(0);
            $(#[$attribute])*
            async fn $name($network: $type) -> $output $body
        }
    };
    (
        seeds = $seeds:expr;
        simulation = $simulation:expr;
        $(#[$attribute:meta])*
        async fn $name:ident($network:ident: $type:ty) -> $output:ty $body:block
    ) => {
        $(#[$attribute])*
        // Elsewhere than in tests, as in documentation, it is a function that can be called.
        #[cfg_attr(test, test)]
        #[cfg_attr(not(test), allow(dead_code))]
        fn $name() {
            async fn program($network: $type) -> $output $body
            let path = concat!(module_path!(), "::", stringify!($name));
            let plan = $crate::SeedPlan::new($seeds).with_test(env!("CARGO_PKG_NAME"), path);
            $crate::test_seeds(plan, &$simulation, program);
        }
    };
}
