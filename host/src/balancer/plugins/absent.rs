//! What is selected where there is nothing of that name.

use crate::balancer::{Answer, Balancer, Question, Refusal};

/// Fails, so that its fallback is asked.
#[derive(Debug)]
pub(super) struct Absent {
    name: String,
    why: String,
}

impl Absent {
    pub(super) fn new(name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), why: why.to_owned() }
    }
}

impl Balancer for Absent {
    fn name(&self) -> &str {
        &self.name
    }

    fn digest(&self) -> Option<&str> {
        None
    }

    fn rank(&self, _: &Question) -> Result<Answer, Refusal> {
        Err(Refusal::Failed(self.why.clone()))
    }
}
