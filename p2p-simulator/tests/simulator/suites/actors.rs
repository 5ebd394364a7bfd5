//! Actors: a bank behind a mailbox, with answers by `oneshot` and news by `broadcast`.

use std::collections::BTreeMap;

use p2p_core::{P2PConnection, P2PProvider};
use p2p_simulator::{Network, SimulatorConnection};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{MS, SECOND, accept_each, dial_surely, provider, repeats, serve};

/// A transfer, and where its answer goes.
struct Order {
    from: u8,
    to: u8,
    amount: u8,
    done: oneshot::Sender<bool>,
}

async fn bank(
    mut orders: mpsc::Receiver<Order>,
    news: broadcast::Sender<(u8, u8)>,
) -> BTreeMap<u8, u32> {
    let mut accounts: BTreeMap<u8, u32> = (0..6).map(|account| (account, 100)).collect();
    while let Some(Order { from, to, amount, done }) = orders.recv().await {
        // Work takes time, so that the mailbox fills and senders wait.
        sleep(MS).await;
        let covered = accounts[&from] >= u32::from(amount);
        if covered {
            *accounts.entry(from).or_default() -= u32::from(amount);
            *accounts.entry(to).or_default() += u32::from(amount);
            let _ = news.send((from, to));
        }
        let _ = done.send(covered);
        assert_eq!(accounts.values().sum::<u32>(), 600, "nothing is lost or made");
    }
    accounts
}

async fn clerk(connection: SimulatorConnection, orders: mpsc::Sender<Order>) {
    while let Ok(message) = connection.recv().await {
        let &[from, to, amount] = &message[..] else { return };
        let (done, answer) = oneshot::channel();
        if orders.send(Order { from, to, amount, done }).await.is_err() {
            return;
        }
        let covered = answer.await.unwrap_or(false);
        if connection.send(vec![u8::from(covered)].into()).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_bank_behind_a_mailbox_keeps_its_sum_and_all_hear_the_news() {
    let program = async |network: Network| {
        let branch = provider(&network.host("bank"));
        let (orders, mailbox) = mpsc::channel(4);
        let (news, _) = broadcast::channel(1024);
        let books = tokio::spawn(bank(mailbox, news.clone()));
        let clerks = orders.clone();
        let serving = tokio::spawn(accept_each(serve(&branch).await, move |connection| {
            clerk(connection, clerks.clone())
        }));
        // Three who listen to the news, on one broadcast.
        let mut listeners = JoinSet::new();
        for _ in 0..3 {
            let mut news = news.subscribe();
            listeners.spawn(async move {
                let mut heard = Vec::new();
                while let Ok(Ok(item)) = timeout(SECOND * 2, news.recv()).await {
                    heard.push(item);
                }
                heard
            });
        }
        let mut customers = JoinSet::new();
        for me in 0..6u8 {
            let (home, address) =
                (provider(&network.host(&format!("home {me}"))), branch.local_addr());
            customers.spawn(async move {
                let connection = dial_surely(&home, &address).await;
                let mut covered = 0;
                for round in 0..20u8 {
                    let order = vec![me, (me + round) % 6, 10 + round];
                    connection.send(order.into()).await.expect("sent");
                    let answer = connection.recv().await.expect("answered");
                    covered += usize::from(answer[0]);
                }
                connection.close(0, "").await;
                covered
            });
        }
        let mut covered = 0;
        while let Some(customer) = customers.join_next().await {
            covered += customer.expect("no panic");
        }
        let mut heard = Vec::new();
        while let Some(listener) = listeners.join_next().await {
            heard.push(listener.expect("no panic"));
        }
        serving.abort();
        let _ = serving.await;
        drop(orders);
        let accounts = books.await.expect("no panic");
        assert!(heard.iter().all(|heard| *heard == heard[..] && heard.len() == covered));
        (accounts, heard)
    };
    let outcomes = repeats(15, program);
    for (accounts, heard) in &outcomes {
        assert_eq!(accounts.values().sum::<u32>(), 600);
        assert!(heard.iter().all(|news| *news == heard[0]), "all hear the same in the same order");
    }
    assert!(outcomes.iter().any(|one| one.1 != outcomes[0].1), "the order depends on the seed");
}
