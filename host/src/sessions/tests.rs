//! The life of sessions, told over a real store with programs in memory.

mod adoption;
mod idle;
mod jobs;
mod life;
mod limits;
mod outage;
mod placing;
mod retries;
mod slow;
