//! Two peers in one process, a message there and back.
//!
//! ```sh
//! cargo run --example echo
//! P2P_IMPLEMENTATION=simulator cargo run --example echo
//! ```

use std::error::Error;
use std::process::ExitCode;

use p2p_transport::{
    Backend, ConnectOptions, ListenOptions, P2PConnection, P2PListener, P2PProvider, Settings,
};

async fn echo() -> Result<(), Box<dyn Error>> {
    let backend = Backend::new(Settings::from_env()?)?;
    let (alice, bob) = (backend.provider().await?, backend.provider().await?);
    let listener = bob.listen(ListenOptions::new("echo/1".parse()?)).await?;

    let near = alice.connect(&bob.local_addr(), ConnectOptions::new("echo/1".parse()?)).await?;
    let far = listener.accept().await?;
    near.send("hello".into()).await?;
    far.send(far.recv().await?).await?;
    let echo = near.recv().await?;
    println!("{} came back over a {} path", String::from_utf8_lossy(&echo), near.path().kind);

    near.close(0, "thank you").await;
    bob.shutdown().await;
    alice.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match echo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
