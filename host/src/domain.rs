//! Nodes, sessions, placements, their states and ids: plain data and pure rules, with no input and no output.

pub mod agreement;
pub mod charter;
pub mod clock;
pub mod drain;
pub mod entropy;
#[cfg(test)]
pub(crate) mod fakes;
pub mod host_port;
pub mod id;
pub mod idle;
pub mod job;
pub mod life;
pub mod limit;
pub mod node;
pub mod overrides;
pub mod peer;
pub mod percentiles;
pub mod placement;
pub mod session;
pub mod shadow;
pub mod sign_out;
pub mod text;
pub mod version;

pub use agreement::disagreement;
pub use charter::{Charter, Exclusion, OtherKey, PROTOCOL};
pub use clock::Clock;
pub use drain::{Drain, DrainOrder};
pub use entropy::Entropy;
pub use host_port::HostPort;
pub use id::{Epoch, NodeId, PlacementId, Revision, SessionId};
pub use idle::{IdleLimits, IdleRules};
pub use job::{Job, JobProblem, JobProgram};
pub use life::Action;
pub use limit::{Allowance, LimitReached, ResourceProfile, Usage, WrongChoice};
pub use node::{Node, NodeStatus, Reading, clock_trouble};
pub use overrides::{Overrides, OverridesChange};
pub use peer::Peer;
pub use percentiles::Percentiles;
pub use placement::{Attempt, Decision, InsteadOf, Placement};
pub use session::{Session, State, Wanted};
pub use shadow::Shadow;
pub use sign_out::SignOut;
