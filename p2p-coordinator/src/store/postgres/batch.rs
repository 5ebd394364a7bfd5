//! Statements that are sent together: their answers come in one journey.

use std::future::Future;
use std::pin::Pin;

use futures_util::future::join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::columns::Values;
use super::link::Session;

/// Statements in order, each with its values.
#[derive(Default)]
pub(super) struct Batch {
    statements: Vec<(String, Vec<Values>)>,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;

impl Batch {
    /// The place of its answer.
    pub(super) fn add(&mut self, text: impl Into<String>, values: Vec<Values>) -> usize {
        self.statements.push((text.into(), values));
        self.statements.len() - 1
    }

    /// Sends all, after `first` and before `last` where they are given; those give no rows. The rows
    /// of each statement, or what went wrong first.
    pub(super) async fn send(
        &self,
        session: &Session,
        first: Option<&str>,
        last: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        let mut prepared: Vec<(Statement, Vec<&(dyn ToSql + Sync)>)> = Vec::new();
        for (text, values) in &self.statements {
            let values = values.iter().map(|value| value.as_ref() as _).collect();
            prepared.push((session.statement(text).await?, values));
        }
        let client = session.client();
        let mut answers: Vec<Answer<'_>> = Vec::new();
        let plain = |text| -> Answer<'_> {
            Box::pin(async move { client.batch_execute(text).await.map(|()| Vec::new()) })
        };
        answers.extend(first.map(plain));
        for (statement, values) in &prepared {
            answers.push(Box::pin(client.query(statement, values)));
        }
        answers.extend(last.map(plain));
        // Each is sent when it is first polled, and that is done in this order.
        let answers = join_all(answers).await;
        let mut rows = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        rows.drain(..usize::from(first.is_some()));
        rows.truncate(prepared.len());
        Ok(rows)
    }
}
