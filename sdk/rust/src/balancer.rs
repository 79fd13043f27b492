//! What an author writes: one of two traits.

use crate::{Answer, Node, Refusal, Request, Setting, Settings, guest};

/// A policy over a slice of nodes: the ordinary way.
///
/// A value lives for one decision. It is a pure function of its arguments: it has no clock and no randomness but
/// [`Request::now`] and [`Request::seed`], so that a recorded decision can be repeated.
///
/// Every column of the contract is read and every string copied before [`rank`](Self::rank) is called. That is some
/// 0.4 µs a node: where thousands of nodes are to be ordered for every session, write a [`Columnar`].
pub trait Balancer: Sized {
    /// Every setting that the balancer can be told; any other is refused when it is loaded.
    const SETTINGS: &'static [Setting] = &[];

    /// Reads the settings. The error names the setting and what it takes, and the balancer is not loaded.
    fn new(settings: &Settings) -> Result<Self, String>;

    /// Orders the nodes, of which there is at least one.
    fn rank(&self, nodes: &[Node], request: &Request) -> Result<Answer, Refusal>;
}

/// A policy that reads the columns it needs, by the functions of [`nodes`](crate::nodes), and pays for no other.
///
/// The builtin balancers are written this way. Its [`rank`](Self::rank) runs as Wasm alone; keep the choice in a
/// function over slices, which can be tested anywhere.
pub trait Columnar: Sized {
    /// Every setting that the balancer can be told; any other is refused when it is loaded.
    const SETTINGS: &'static [Setting] = &[];

    /// Reads the settings. The error names the setting and what it takes, and the balancer is not loaded.
    fn new(settings: &Settings) -> Result<Self, String>;

    /// Orders the nodes, of which there is at least one.
    fn rank(&self) -> Result<Answer, Refusal>;
}

impl<B: Balancer> Columnar for B {
    const SETTINGS: &'static [Setting] = B::SETTINGS;

    fn new(settings: &Settings) -> Result<Self, String> {
        B::new(settings)
    }

    fn rank(&self) -> Result<Answer, Refusal> {
        Balancer::rank(self, &guest::nodes(), &guest::request())
    }
}
