//! Settings that change while connections are in use.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::{
    Backoff, ConnectionState, Limit, P2PConnection, P2PError, P2PListener, P2PProvider, Priority,
    ReconnectPolicy,
};

use crate::observed::{Ends, ends, lasting};
use crate::{admitted, listen, ms, simulate};

#[test]
fn settings_change_under_load_and_nothing_is_lost() {
    simulate(async |network| {
        let Ends { providers: [alice, bob], dialled, accepted, .. } = ends(&network).await;
        let receiving = tokio::spawn(async move {
            for number in 0..2000_u32 {
                let message = accepted.recv().await.expect("received");
                assert_eq!(message, number.to_be_bytes().as_slice());
            }
            accepted
        });
        let listener = listen(&bob).await;
        for number in 0..2000_u32 {
            let message = Bytes::copy_from_slice(&number.to_be_bytes());
            dialled.send_with(Priority::Bulk, message).await.expect("sent");
            if number % 100 == 0 {
                let size = 1000 + number as usize;
                for node in [&alice, &bob] {
                    let now = node.reconfigure(&mut |config| {
                        config.max_message_size = size;
                        config.receive_window = 20 * size;
                    });
                    let now = now.expect("it can be meant");
                    assert_eq!((now.max_message_size, now.receive_window), (size, 20 * size));
                }
                // What begins from now on keeps to it; what was there keeps to what was agreed.
                let next = alice.connect(&bob.local_addr(), admitted()).await.expect("connected");
                assert_eq!(next.peer().max_message_size, size);
                assert_eq!(
                    listener.accept().await.expect("accepted").peer().max_message_size,
                    size
                );
                assert_eq!(dialled.peer().max_message_size, lasting().max_message_size);
                match next.try_send(Priority::Bulk, vec![0; size + 1].into()) {
                    Err(P2PError::LimitExceeded { limit: Limit::Message, max, .. }) => {
                        assert_eq!(max, size as u64);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        receiving.await.expect("all of them, in order");
    });
}

#[test]
fn changes_at_the_same_time_build_on_each_other() {
    simulate(async |network| {
        let alice = network.host("alice").provider(lasting()).expect("a new host");
        let before = alice.config().max_message_size;
        let changes = (0..50).map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move {
                alice
                    .reconfigure(&mut |config| config.max_message_size += 1)
                    .expect("it can be meant");
            })
        });
        for change in changes.collect::<Vec<_>>() {
            change.await.expect("changed");
        }
        assert_eq!(alice.config().max_message_size, before + 50);
        let refused = alice.reconfigure(&mut |config| {
            config.max_message_size = 1;
            config.idle_timeout = ms(1);
        });
        let error = refused.expect_err("the transport has it").to_string();
        assert_eq!(error, "idle_timeout is 1ms: it stays what it was when the node was made");
        assert_eq!(alice.config().max_message_size, before + 50);
    });
}

#[test]
fn timers_that_are_read_when_used_hold_for_connections_that_are_there() {
    simulate(async |network| {
        let Ends { hosts, providers: [alice, _bob], dialled, accepted } = ends(&network).await;
        let patience = Duration::from_secs(7);
        let change = alice.reconfigure(&mut |config| {
            config.reconnect = ReconnectPolicy::Resume(Backoff::default().with_give_up(patience));
        });
        change.expect("it can be meant");
        network.partition([&hosts[0]], [&hosts[1]]);
        let began = tokio::time::Instant::now();
        dialled.renew_link();
        let lost = dialled.closed().await;
        assert!(matches!(dialled.state(), ConnectionState::Lost(_)), "{lost}");
        assert_eq!(began.elapsed(), patience);
        drop(accepted);
    });
}

#[test]
fn a_close_waits_for_as_long_as_it_is_told_to_by_then() {
    simulate(async |network| {
        let Ends { hosts, providers: [alice, _bob], dialled, accepted: _accepted } =
            ends(&network).await;
        network.partition([&hosts[0]], [&hosts[1]]);
        dialled.send("into the cut".into()).await.expect("sent");
        alice.reconfigure(&mut |config| config.close_timeout = ms(150)).expect("it can be meant");
        let began = tokio::time::Instant::now();
        dialled.close(1, "").await;
        assert_eq!(began.elapsed(), ms(150));
    });
}
