#![doc = include_str!("../README.md")]
#![expect(clippy::test_attr_in_doctest, reason = "the README shows an author how to test a policy")]

mod answer;
mod balancer;
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod guest;
pub mod log;
mod lookup;
mod node;
pub mod nodes;
mod order;
pub mod request;
mod settings;

pub use answer::{Answer, Refusal};
pub use balancer::{Balancer, Columnar};
pub use node::Node;
pub use order::{CANDIDATES, best, best_in_turn, by_count};
pub use request::Request;
pub use settings::{Setting, Settings};

/// Makes a type the balancer that this module is.
///
/// The type is a [`Balancer`] or a [`Columnar`]; the macro is written once in a module, beside the type:
///
/// ```
/// # use evenkeel_sdk::{Answer, Balancer, Node, Refusal, Request, Settings};
/// struct Emptiest;
///
/// impl Balancer for Emptiest {
///     fn new(_settings: &Settings) -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn rank(&self, nodes: &[Node], _request: &Request) -> Result<Answer, Refusal> {
///         Ok(Answer::highest(nodes.iter().map(|node| -f64::from(node.sessions)).collect()))
///     }
/// }
///
/// evenkeel_sdk::balancer!(Emptiest);
/// ```
#[macro_export]
macro_rules! balancer {
    ($policy:ty) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
            type Guest = $crate::guest::Adapter<$policy>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::export!(Guest with_types_in $crate::bindings);

            const fn is_a_balancer<P: $crate::Columnar>() {}
            is_a_balancer::<$policy>();
        };
    };
}
