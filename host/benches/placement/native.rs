//! The same choices, as functions of this program.

use evenkeel::balancer::Question;
use evenkeel_plugin_sessions as sessions;
use evenkeel_plugin_system_load as system_load;
use evenkeel_plugin_user_hash::{self as user_hash, Scheme};

/// Makes a builtin balancer's choice, with its defaults. It says whether it named a node.
pub(crate) fn decide(balancer: &str, question: &Question) -> bool {
    let nodes = &question.nodes;
    let sequence = question.request.sequence;
    let answer = match balancer {
        "sessions" => {
            let columns = sessions::Columns {
                sessions: &nodes.sessions,
                weights: &nodes.weights,
                load1: &nodes.load1,
                cores: &nodes.cores,
            };
            sessions::choose(columns, sequence)
        }
        "system-load" => {
            let columns = system_load::Columns {
                load5: &nodes.load5,
                unseen5: &nodes.unseen5,
                cores: &nodes.cores,
                sessions: &nodes.sessions,
                weights: &nodes.weights,
            };
            system_load::choose(columns, 1.0, sequence)
        }
        "user-hash" => {
            user_hash::choose(Scheme::Rendezvous, &question.request.username, &nodes.name_hashes, &nodes.weights)
        }
        _ => return false,
    };
    !answer.order.is_empty()
}
