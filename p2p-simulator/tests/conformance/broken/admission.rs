//! A door that does not do what the judge says.

use std::sync::Arc;

use async_trait::async_trait;
use p2p_core::{Admission, Applicant, Denied, Pass, Refusal};

use super::Fault;

pub(super) struct BrokenDoor {
    pub(super) judge: Arc<dyn Admission>,
    pub(super) fault: Fault,
}

#[async_trait]
impl Admission for BrokenDoor {
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied> {
        self.judge.admit(applicant).await
    }

    async fn judge(&self, applicant: &Applicant) -> Result<Pass, Refusal> {
        let judged = self.judge.judge(applicant).await;
        match self.fault {
            Fault::LetsAnybodyIn => Ok(judged.unwrap_or_default()),
            Fault::ForgetsPasses => judged.map(|_| Pass::free()),
            _ => judged,
        }
    }
}
