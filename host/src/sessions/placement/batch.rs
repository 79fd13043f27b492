//! Decides a batch of orders on one snapshot, each seeing the reservations before it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    balancer::{Answer, Question, Refusal, Request},
    config::Profiles,
    domain::{Allowance, Decision, Entropy, Epoch, Job, NodeId, Session, SessionId, State, Usage},
    sessions::{NewSession, SessionError},
    store::Reservation,
};

use super::{
    Policy, Ruling,
    eligible::{self, Explanation, Needs},
    shown::Shown,
    view::{Group, View, amount},
};

/// The most orders that are decided on one snapshot.
pub const MOST: usize = 64;

/// How long a decision may keep those waiting that come after it.
const PATIENCE: Duration = Duration::from_millis(100);

/// The most nodes that are kept to be tried.
const MOST_CANDIDATES: usize = 16;

/// A session to be placed: whole but for its node.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The session.
    pub session: Session,
    /// Whether it does not exist yet.
    pub new: bool,
    /// Whether it occupies a node already, and counts to the limits.
    pub is_live: bool,
    /// What its user may have.
    pub allowance: Allowance,
    /// Its user's groups.
    pub groups: Vec<String>,
    /// Labels that its kind requires.
    pub kind_labels: BTreeMap<String, String>,
    /// The name of the node where it ran before.
    pub previous_node: Option<String>,
    /// What a policy that was asked beside the queue decided on it.
    pub ruled: Option<Ruled>,
    /// What it is to run, where it is a new job.
    pub job: Option<Arc<Job>>,
}

/// A decision, and what it was made on.
#[derive(Clone, Debug)]
pub struct Ruled {
    /// The decision.
    pub decision: Decision,
    /// What the policy was shown, and its whole answer.
    pub shown: Arc<Shown>,
}

/// A decided wish.
#[derive(Clone, Debug)]
pub struct Made {
    /// What is to be committed.
    pub reservation: Reservation,
    /// What it was decided on.
    pub shown: Arc<Shown>,
}

impl Wish {
    /// A session that does not exist yet, under an id that nobody has drawn before, most likely.
    pub fn new(new: &NewSession, view: &View, entropy: &dyn Entropy) -> Self {
        let session = Session {
            id: SessionId::draw(entropy),
            user: new.user.clone(),
            groups: Vec::new(),
            kind: new.kind.clone(),
            name: new.name.clone().unwrap_or_else(|| new.kind.clone()),
            state: State::Starting,
            wanted: None,
            node: NodeId(0),
            epoch: Epoch::FIRST,
            claimed: false,
            pid: None,
            cpus: amount(new.cpus),
            memory: new.memory,
            labels: new.labels.clone(),
            candidates: Vec::new(),
            failed_nodes: Vec::new(),
            failure: None,
            is_job: new.job.is_some(),
            exit_status: None,
            note: None,
            last_activity: None,
            created: view.now(),
            changed: view.now(),
        };
        Self { new: true, is_live: false, job: new.job.clone(), ..Self::of(session) }
    }

    fn of(session: Session) -> Self {
        Self {
            session,
            new: false,
            is_live: true,
            allowance: Allowance::default(),
            groups: Vec::new(),
            kind_labels: BTreeMap::new(),
            previous_node: None,
            ruled: None,
            job: None,
        }
    }

    /// A session that has stopped, to be started anew where that is best now.
    pub fn resume(stored: Session, view: &View) -> Self {
        let previous_node = view.node(stored.node).map(|node| node.name.clone());
        Self { previous_node, is_live: false, ..Self::retry(Session { failed_nodes: Vec::new(), ..stored }, view) }
    }

    /// A session that could not start on `failed_nodes`, to be started elsewhere.
    pub fn retry(stored: Session, view: &View) -> Self {
        let session = Session {
            state: State::Starting,
            wanted: None,
            epoch: stored.epoch.next(),
            claimed: false,
            pid: None,
            failure: None,
            note: None,
            changed: view.now(),
            ..stored
        };
        Self::of(session)
    }

    /// The same of a user in these groups, under these profiles. A session that names no processors or no memory has the
    /// usual. One that is live already stays as it is.
    #[must_use]
    pub fn under(mut self, profiles: &Profiles, groups: &[String]) -> Self {
        if !self.is_live {
            let allowance = profiles.allowance(&self.session.user, groups);
            let session = &mut self.session;
            if session.cpus == 0.0 {
                session.cpus = allowance.default_cpus;
            }
            if session.memory == 0 {
                session.memory = allowance.default_memory;
            }
            session.groups = profiles.named(groups);
            self.allowance = allowance;
        }
        Self { groups: groups.to_vec(), ..self }
    }

    fn needs(&self) -> Needs<'_> {
        let Session { kind, labels, failed_nodes, .. } = &self.session;
        Needs { kind, labels, kind_labels: &self.kind_labels, usage: self.usage(), avoid: failed_nodes }
    }

    fn usage(&self) -> Usage {
        Usage::of(self.session.cpus, self.session.memory)
    }

    /// An error where its user may not have it beside what is there.
    fn check(&self, view: &View) -> Result<(), SessionError> {
        if self.is_live {
            return Ok(());
        }
        let checked = view.counted().check(&self.session.user, &self.allowance, self.usage());
        checked.map_err(|reached| SessionError::Limit(Box::new(reached)))
    }
}

/// Decides on the wishes in order. None where it has to be decided again: what a policy decided on a wish before does not
/// hold any more, or the policy has turned out to be slow and is to be asked beside the queue.
pub fn decide(
    wishes: Vec<Wish>,
    view: &mut View,
    policy: &dyn Policy,
    entropy: &dyn Entropy,
) -> Vec<Result<Option<Made>, SessionError>> {
    let decide = |(index, wish): (u64, Wish)| {
        // Here, and nowhere else: beside the reservations before it, and at the revision that the commit holds at.
        wish.check(view)?;
        let was_live = wish.is_live;
        let ruled = match &wish.ruled {
            Some(ruled) => confirm(&wish, ruled.clone(), view)?,
            None if policy.is_slow() => None,
            None => ask_within(&wish, index, view, policy, entropy)?,
        };
        let made = ruled.and_then(|ruled| made(wish, ruled));
        if let Some(Made { reservation, .. }) = &made {
            view.reserve(&reservation.session, was_live);
        }
        Ok(made)
    };
    (0..).zip(wishes).map(decide).collect()
}

/// Asks the policy where a session should go. What its user may not have as it is, it is not asked about.
pub fn ask(
    wish: &Wish,
    index: u64,
    view: &mut View,
    policy: &dyn Policy,
    entropy: &dyn Entropy,
) -> Result<Ruled, SessionError> {
    wish.check(view)?;
    let (group, question) = put(wish, index, view, entropy)?;
    let said = policy.rank(&question);
    rule(said, question, &group)
}

/// The same while others wait; none where it takes too long.
fn ask_within(
    wish: &Wish,
    index: u64,
    view: &mut View,
    policy: &dyn Policy,
    entropy: &dyn Entropy,
) -> Result<Option<Ruled>, SessionError> {
    let (group, question) = put(wish, index, view, entropy)?;
    let said = policy.rank_within(&question, PATIENCE);
    said.map(|said| rule(said, question, &group)).transpose()
}

/// The question about a wish, and the nodes that it is about.
fn put(
    wish: &Wish,
    index: u64,
    view: &mut View,
    entropy: &dyn Entropy,
) -> Result<(Arc<Group>, Question), SessionError> {
    let group = view.group(&wish.needs());
    if group.selection.eligible.is_empty() {
        return Err(nowhere(wish, view, &group));
    }
    let question = question(wish, index, view, &group, entropy);
    Ok((group, question))
}

/// The decision that a policy's answer comes to.
fn rule(said: Result<Ruling, Refusal>, question: Question, group: &Group) -> Result<Ruled, SessionError> {
    let ruling = said.map_err(|refusal| match refusal {
        Refusal::Declined(reason) => SessionError::Declined(reason),
        Refusal::Failed(reason) => SessionError::NoNode(format!("the balancer could not decide: {reason}")),
    })?;
    let (candidates, scores) = candidates(&ruling.answer, &group.ids);
    if candidates.is_empty() {
        return Err(SessionError::NoNode(format!("balancer {} named no node", ruling.balancer)));
    }
    let Answer { order, scores: all_scores, reason, duration, .. } = ruling.answer;
    let decision = Decision {
        balancer: ruling.balancer,
        digest: ruling.digest,
        candidates,
        scores,
        reason,
        fallback: ruling.fallback,
        instead_of: ruling.instead_of,
        eligible: u32::try_from(group.selection.eligible.len()).unwrap_or(u32::MAX),
        duration,
    };
    let (nodes, excluded) = (Arc::clone(&group.ids), Arc::clone(&group.selection.excluded));
    let shown = Shown { question, nodes, excluded, settings: ruling.settings, order, scores: all_scores };
    Ok(Ruled { decision, shown: Arc::new(shown) })
}

/// Leaves of an earlier decision the candidates that may take the session still; none where there is no such node but
/// there are others.
fn confirm(wish: &Wish, ruled: Ruled, view: &mut View) -> Result<Option<Ruled>, SessionError> {
    let group = view.group(&wish.needs());
    if group.selection.eligible.is_empty() {
        return Err(nowhere(wish, view, &group));
    }
    let may = |id| view.position(id).is_some_and(|index| group.selection.eligible.binary_search(&index).is_ok());
    let Ruled { decision, shown } = ruled;
    let left = || decision.candidates.iter().map(|&id| may(id));
    let scores = decision.scores.as_ref().map(|all| keep(all, left()));
    let candidates = keep(&decision.candidates, left());
    let decision = Decision { candidates, scores, ..decision };
    Ok((!decision.candidates.is_empty()).then_some(Ruled { decision, shown }))
}

/// The items beside which stands true.
fn keep<T: Copy>(items: &[T], which: impl Iterator<Item = bool>) -> Vec<T> {
    items.iter().zip(which).filter(|(_, keep)| *keep).map(|(&item, _)| item).collect()
}

fn made(wish: Wish, Ruled { decision, shown }: Ruled) -> Option<Made> {
    let (&node, rest) = decision.candidates.split_first()?;
    let session = Session { node, candidates: rest.to_vec(), ..wish.session };
    Some(Made { reservation: Reservation { session, new: wish.new, decision, job: wish.job }, shown })
}

/// Why there is no node for a wish.
fn nowhere(wish: &Wish, view: &View, group: &Group) -> SessionError {
    let known = eligible::known_kinds(view.nodes());
    if !known.contains(wish.session.kind.as_str()) {
        let offered = known.into_iter().map(ToOwned::to_owned).collect();
        return SessionError::UnknownKind { kind: wish.session.kind.clone(), offered };
    }
    let explanation = Explanation { excluded: &group.selection.excluded, needs: wish.needs() };
    SessionError::NoNode(explanation.to_string())
}

/// The question for one wish. Its sequence number is `revision * 64 + index`: a batch has at most 64 decisions and its
/// commit raises the revision, so that the numbers of decisions that hold grow throughout the cluster.
fn question(wish: &Wish, index: u64, view: &View, group: &Group, entropy: &dyn Entropy) -> Question {
    let session = &wish.session;
    let revision = u64::try_from(view.revision().0).unwrap_or_default();
    Question {
        nodes: group.columns.clone(),
        user_sessions: view.user_sessions(&session.user, group),
        request: Request {
            username: session.user.clone(),
            groups: wish.groups.clone(),
            kind: session.kind.clone(),
            cpus: session.cpus,
            memory: session.memory,
            labels: session.labels.iter().chain(&wish.kind_labels).map(|(k, v)| (k.clone(), v.clone())).collect(),
            kind_labels: wish.kind_labels.clone(),
            previous_node: wish.previous_node.clone(),
            now: u64::try_from(view.now().as_millisecond()).unwrap_or_default(),
            seed: entropy.number(),
            sequence: revision.wrapping_mul(MOST as u64).wrapping_add(index),
        },
        session: Some(session.id),
    }
}

/// Of an answer about these nodes, those to try, best first, and their scores.
pub(super) fn candidates(answer: &Answer, nodes: &[NodeId]) -> (Vec<NodeId>, Option<Vec<f64>>) {
    let positions = || answer.order.iter().take(MOST_CANDIDATES).filter_map(|&position| usize::try_from(position).ok());
    let candidates = positions().filter_map(|at| nodes.get(at).copied()).collect();
    let scores = answer.scores.as_ref().and_then(|all| positions().map(|at| all.get(at).copied()).collect());
    (candidates, scores)
}

#[cfg(test)]
mod tests;
