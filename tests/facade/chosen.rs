//! One program on whatever backend the settings say.

use p2p_transport::{
    Backend, ConnectOptions, ListenOptions, P2PConnection, P2PListener, P2PProvider, PeerAddr,
    Result, SecretKey, Settings,
};

async fn hello<P: P2PProvider>(alice: &P, bob: &P) -> Result<String> {
    let protocol: p2p_transport::ProtocolName = "hello/1".parse().expect("a name");
    let listener = bob.listen(ListenOptions::new(protocol.clone())).await?;
    let bob: PeerAddr = bob.local_addr().to_string().parse().expect("a ticket");
    let connection = alice.connect(&bob, ConnectOptions::new(protocol)).await?;
    connection.send("hello".into()).await?;
    let message = listener.accept().await?.recv().await?;
    connection.close(0, "").await;
    Ok(String::from_utf8_lossy(&message).into_owned())
}

fn settings(of: &'static [(&'static str, &'static str)]) -> Settings {
    Settings::from_lookup(|name| {
        of.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
    .expect("readable settings")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_program_runs_on_either_backend() {
    for implementation in ["iroh", "simulator"] {
        let settings = Settings::from_lookup(|name| {
            (name == "P2P_IMPLEMENTATION").then(|| implementation.to_owned())
        });
        let backend = Backend::new(settings.expect("known")).expect("built in");
        let (alice, bob) = (backend.provider().await, backend.provider().await);
        let (alice, bob) = (alice.expect("a provider"), bob.expect("a provider"));
        assert_eq!(hello(&alice, &bob).await.expect("a connection"), "hello", "{implementation}");
        alice.shutdown().await;
        bob.shutdown().await;
    }
}

#[tokio::test]
async fn a_simulated_network_is_set_up_by_variables() {
    let settings = settings(&[
        ("P2P_IMPLEMENTATION", "simulator"),
        ("SIMULATOR_P2P_FAILURE_RATE", "1"),
        ("SIMULATOR_P2P_SEED", "9"),
    ]);
    let backend = Backend::new(settings).expect("built in");
    let (alice, bob) = (backend.provider().await, backend.provider().await);
    let (alice, bob) = (alice.expect("a provider"), bob.expect("a provider"));
    let error = hello(&alice, &bob).await.expect_err("every dial fails");
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_bootstrap_peer_is_reached_by_name_alone() {
    let known =
        Backend::new(settings(&[])).expect("built in").provider().await.expect("a provider");
    let ticket = known.local_addr().to_string();
    let settings =
        Settings::from_lookup(|name| (name == "P2P_BOOTSTRAP_PEERS").then(|| ticket.clone()));
    let backend = Backend::new(settings.expect("a ticket")).expect("built in");
    let provider = backend.provider().await.expect("a provider");

    let protocol: p2p_transport::ProtocolName = "hello/1".parse().expect("a name");
    let _listener = known.listen(ListenOptions::new(protocol.clone())).await.expect("listening");
    let name_only = PeerAddr::new(known.local_peer_id());
    let options = ConnectOptions::new(protocol);
    provider.connect(&name_only, options).await.expect("its address is known");
}

#[tokio::test]
async fn an_identity_in_the_settings_is_the_providers_on_either_backend() {
    for implementation in ["iroh", "simulator"] {
        let mut settings = Settings::from_lookup(|name| {
            (name == "P2P_IMPLEMENTATION").then(|| implementation.to_owned())
        })
        .expect("known");
        let secret = SecretKey::from_bytes(&[3; 32]);
        settings.secret_key = Some(secret.clone());
        let provider = Backend::new(settings).expect("built in").provider().await;
        assert_eq!(provider.expect("a provider").local_peer_id(), secret.peer_id());
    }
}
