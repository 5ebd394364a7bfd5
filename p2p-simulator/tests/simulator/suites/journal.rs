//! A journal that outlives crashes: what was acknowledged is there after the restart.

use std::sync::{Arc, Mutex};

use p2p_core::{P2PConnection, PeerAddr};
use p2p_simulator::{Fault, FaultSchedule, Host, Network, Simulation, SimulationError};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{MS, SECOND, accept_each, dial, provider, repeats, serve};

/// What lies on a host's disk.
type Disk = Arc<Mutex<Vec<u8>>>;

/// Writes entries down, then acknowledges them. A crash may come between.
async fn journal(host: Host, disk: Disk) {
    let provider = provider(&host);
    let listener = serve(&provider).await;
    accept_each(listener, move |connection| {
        let disk = disk.clone();
        async move {
            while let Ok(entry) = connection.recv().await {
                // As long as a disk takes.
                sleep(MS * 5).await;
                {
                    let mut disk = disk.lock().expect("no panic");
                    if !disk.contains(&entry[0]) {
                        disk.push(entry[0]);
                    }
                }
                if connection.send(entry).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
}

/// Writes until all are acknowledged; returns how often it had to connect.
async fn write_all(network: &Network, address: &PeerAddr, disk: &Disk) -> u32 {
    let writer = provider(&network.host("writer"));
    let (tell, mut acknowledged) = mpsc::unbounded_channel();
    let (mut next, mut connects) = (0u8, 0);
    while next < 100 {
        connects += 1;
        let Ok(connection) = dial(&writer, address).await else {
            sleep(MS * 300).await;
            continue;
        };
        while next < 100 {
            if connection.send(vec![next].into()).await.is_err() {
                break;
            }
            match timeout(SECOND, connection.recv()).await {
                Ok(Ok(answer)) if answer[0] == next => {
                    tell.send(next).expect("it is there");
                    assert!(disk.lock().expect("no panic").contains(&next), "written before");
                    next += 1;
                }
                _ => break,
            }
        }
    }
    drop(tell);
    while let Some(entry) = acknowledged.recv().await {
        assert!(disk.lock().expect("no panic").contains(&entry), "entry {entry} is lost");
    }
    connects
}

async fn survive(network: Network, host: Host) -> (Vec<u8>, u32) {
    let disk = Disk::default();
    let kept = disk.clone();
    host.boot(move |host| journal(host, kept.clone()));
    // The address stays over restarts, for it is the host's identity.
    let address = PeerAddr::new(host.peer_id());
    let crashes = network.clone();
    let machine = host.clone();
    tokio::spawn(async move {
        for round in 0..3 {
            sleep(MS * 300).await;
            let crash = crashes.fault(&format!("crash {round}")).crash(&machine);
            sleep(MS * 200).await;
            drop(crash);
        }
    });
    let connects = write_all(&network, &address, &disk).await;
    let written = disk.lock().expect("no panic").clone();
    (written, connects)
}

#[test]
fn a_journal_keeps_what_it_acknowledged_over_crashes() {
    for (written, connects) in repeats(10, async |network| {
        let host = network.host("journal");
        survive(network, host).await
    }) {
        assert_eq!(written, Vec::from_iter(0..100));
        assert!(connects > 1, "a crash breaks the connection");
    }
}

#[test]
fn so_it_does_on_an_isolated_host() {
    for (written, connects) in repeats(3, async |network| {
        let host = network.isolated_host("journal");
        survive(network, host).await
    }) {
        assert_eq!(written, Vec::from_iter(0..100));
        assert!(connects > 1, "a crash breaks the connection");
    }
}

#[test]
fn a_scheduled_crash_boots_the_host_again() {
    let crash = Fault::Crash { host: "journal".into() };
    let schedule = FaultSchedule::new().with("power", MS * 300, MS * 500, crash);
    let run = Simulation::new(1).with_schedule(schedule).run(async |network| {
        let host = network.host("journal");
        let disk = Disk::default();
        let kept = disk.clone();
        host.boot(move |host| journal(host, kept.clone()));
        write_all(&network, &PeerAddr::new(host.peer_id()), &disk).await
    });
    assert!(run.expect("a run").output > 1);
}

#[test]
fn a_booted_program_that_panics_fails_the_run_by_its_hosts_name() {
    let run = Simulation::new(1).run(async |network| {
        network.host("odd").boot(|_| async {
            sleep(MS * 3).await;
            panic!("planted");
        });
        sleep(SECOND).await;
    });
    let error = run.map(|_| ()).expect_err("it panicked");
    assert!(matches!(error, SimulationError::Invariant { at, .. } if at == MS * 3), "{error}");
    let text = error.to_string();
    assert!(text.contains("'odd'") && text.contains("planted"), "{text}");
}
