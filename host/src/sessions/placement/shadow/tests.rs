//! Second balancers, good, bad and slow, beside a queue that places.

use std::{
    sync::{Mutex, PoisonError, mpsc as blocking},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::*;
use crate::{
    balancer::{Balancer, Question},
    domain::{Placement, shadow::Verdict},
    sessions::{
        fixtures::{Cluster, Fewest, eventually, new_session},
        placement::{Order, Placed, Placer, Queue},
    },
};

/// Prefers the last node; what it is told to do at each question comes from a function.
struct Last(Box<Told>);

type Told = dyn Fn(&Question) -> Result<(), Refusal> + Send + Sync;

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Last")
    }
}

impl Balancer for Last {
    fn name(&self) -> &str {
        "last"
    }

    fn digest(&self) -> Option<&str> {
        Some("ab12")
    }

    fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
        (self.0)(question)?;
        let count = u32::try_from(question.nodes.count()).expect("few");
        Ok(Answer {
            order: (0..count).rev().collect(),
            scores: Some((0..count).map(f64::from).collect()),
            reason: Some("the last is the best".to_owned()),
            log: Vec::new(),
            duration: Duration::from_micros(7),
        })
    }
}

/// A queue over a cluster, with a second balancer.
struct Bench {
    cluster: Cluster,
    placer: Placer,
    second: Arc<Second>,
    policy: Arc<Fallback>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Bench {
    async fn new(nodes: usize, tell: impl Fn(&Question) -> Result<(), Refusal> + Send + Sync + 'static) -> Self {
        let cluster = Cluster::start(nodes).await;
        let policy = Arc::new(Fallback::new(Arc::new(Last(Box::new(tell))), None));
        let (second, worker) = Second::new();
        second.ask(Some(Arc::clone(&policy)));
        let first = Arc::new(Fallback::new(Arc::new(Fewest), None));
        let (placer, queue) = Queue::new(cluster.store.clone(), first, cluster.entropy.clone());
        let mut queue = queue.with_second(Some(Arc::clone(&second)));
        let stop = CancellationToken::new();
        let (stops, store) = (stop.clone(), cluster.store.clone());
        let running = tokio::spawn(async move {
            tokio::join!(queue.run(&stops), worker.run(store, stops.clone()));
        });
        Self { cluster, placer, second, policy, stop, running }
    }

    async fn place(&self, user: &str) -> Placed {
        self.placer.place(Order::New(new_session(user)), Vec::new()).await.expect("a place")
    }

    /// The record of what was placed, once the second balancer has answered.
    async fn compared(&self, placed: &Placed) -> Placement {
        let read = async || {
            self.cluster.store.placements(Some(placed.session.id), None, 1).await.expect("the store answers").remove(0)
        };
        eventually("the shadow has answered", async || read().await.shadow.is_some()).await;
        read().await
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.expect("no panic");
    }
}

#[tokio::test]
async fn what_a_second_balancer_would_have_done_is_kept_beside_what_was_done() {
    let bench = Bench::new(2, |_| Ok(())).await;
    let placed = bench.place("ada").await;
    let Placement { decision, shadow: Some(shadow), .. } = bench.compared(&placed).await else { unreachable!() };
    assert_eq!(shadow.verdict(&decision), Verdict::Different);
    let mut backwards = decision.candidates.clone();
    backwards.reverse();
    let expected = Shadow {
        balancer: "last".to_owned(),
        digest: Some("ab12".to_owned()),
        duration: Duration::from_micros(7),
        outcome: Outcome::Chose {
            candidates: backwards,
            scores: Some(vec![1.0, 0.0]),
            reason: Some("the last is the best".to_owned()),
        },
        compared_with: Some(decision.candidates[0]),
    };
    assert_eq!((shadow, placed.session.node), (expected, decision.candidates[0]));
    // The fewest sessions now are on the last node.
    let Placement { decision, shadow: Some(shadow), .. } = bench.compared(&bench.place("bob").await).await else {
        unreachable!()
    };
    assert_eq!(shadow.verdict(&decision), Verdict::Same);
    bench.end().await;
}

#[tokio::test]
async fn a_second_balancer_that_fails_or_declines_is_on_record_and_nobody_is_refused() {
    let bench = Bench::new(1, |question| match question.request.username.as_str() {
        "ada" => Err(Refusal::Failed("it trapped".to_owned())),
        _ => Err(Refusal::Declined("not today".to_owned())),
    })
    .await;
    for (user, outcome) in
        [("ada", Outcome::Failed("it trapped".to_owned())), ("bob", Outcome::Declined("not today".to_owned()))]
    {
        let placed = bench.place(user).await;
        assert_eq!(bench.compared(&placed).await.shadow.map(|shadow| shadow.outcome), Some(outcome));
    }
    assert_eq!((bench.policy.selected().tally.count().decisions, bench.policy.selected().tally.failures()), (2, 1));
    bench.end().await;
}

#[tokio::test]
async fn a_second_balancer_that_hangs_delays_nobody_and_what_it_misses_is_counted() {
    let (asked, was_asked) = blocking::channel();
    let (tell, told) = blocking::channel::<()>();
    let told = Mutex::new(told);
    let bench = Bench::new(1, move |_| {
        let _ = asked.send(());
        // Ends when the test lets go.
        let _ = told.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Ok(())
    })
    .await;
    bench.place("ada").await;
    tokio::task::spawn_blocking(move || was_asked.recv()).await.expect("no panic").expect("it is asked");
    // One is being asked about; so many wait; the others are missed.
    for _ in 0..WAITING + 3 {
        bench.place("bob").await;
    }
    assert_eq!(bench.second.missed(), 3);
    drop(tell);
    let cluster = &bench.cluster;
    let all = async || cluster.store.shadowed(None).await.expect("the store answers").len() == WAITING + 1;
    eventually("all that waited have been asked about", all).await;
    bench.end().await;
}
