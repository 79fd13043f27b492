//! What changes after a node has registered reaches the store.

use super::*;

#[tokio::test]
async fn a_balancer_that_is_replaced_is_published_at_a_heartbeat() {
    let bed = Bed::new();
    let store = bed.store().await;
    let (replace, digest) = watch::channel(None);
    let running = Running::of(bed.join("a").await.with_digest(digest));
    for digest in [Some("ff00"), Some("00ff"), None] {
        replace.send_replace(digest.map(ToOwned::to_owned));
        until("the digest is published", async || {
            let nodes = store.nodes().await.unwrap();
            nodes.iter().any(|node| node.id == running.node && node.balancer_digest.as_deref() == digest)
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn another_certificate_is_shown_once_the_registry_has_had_it_for_a_while() {
    let bed = Bed::new();
    let store = bed.store().await;
    let [first, second] = [bed.certified("first"), bed.certified("second")];
    let names = [&first, &second].map(|identity| identity.fingerprint.clone());
    let tls = Arc::new(OwnTls::new(first));
    let mut joining = bed.joining("a").await;
    joining.registration.certificate = Some(tls.fingerprint());
    let mut membership = Membership::join(joining).await.unwrap().with_tls(Some(Arc::clone(&tls)));
    let known_after = |membership: &mut Membership, time| membership.certificate.as_mut().unwrap().known_after = time;
    known_after(&mut membership, TIMEOUT);
    let node = membership.node();
    let (sender, _pending) = mpsc::channel(1);
    let known = async || store.nodes().await.unwrap().remove(0).certificate.unwrap_or_default();
    membership.beat(&sender).await;
    assert_eq!(known().await, names[0]);

    assert!(tls.prepare(second));
    for _ in 0..3 {
        membership.beat(&sender).await;
        assert_eq!((known().await, tls.fingerprint()), (names.join(" "), names[0].clone()), "not before its time");
    }
    known_after(&mut membership, Duration::ZERO);
    membership.beat(&sender).await;
    assert_eq!((known().await, tls.fingerprint()), (names[1].clone(), names[1].clone()));
    assert_eq!(membership.node(), node);
}

#[tokio::test]
async fn published_numbers_are_known_from_the_start_and_follow_their_files() {
    let bed = Bed::new();
    let write = |text: &str, time: Timestamp| {
        fs::create_dir_all(bed.path("metrics.d")).unwrap();
        fs::write(bed.path("metrics.d/new"), text).unwrap();
        let file = fs::File::options().write(true).open(bed.path("metrics.d/new")).unwrap();
        file.set_modified(time.into()).unwrap();
        fs::rename(bed.path("metrics.d/new"), bed.path("metrics.d/a.prom")).unwrap();
    };
    write("free 1\n", Timestamp::UNIX_EPOCH);
    let membership = bed.join("a").await;
    let store = bed.store().await;
    let known = async || store.nodes().await.unwrap().remove(0).metrics;
    assert_eq!(known().await, BTreeMap::from([("free".to_owned(), 1.0)]));
    let running = Running::of(membership);
    write("free 2\n", Timestamp::UNIX_EPOCH);
    until("the new number", async || known().await == BTreeMap::from([("free".to_owned(), 2.0)])).await;
    write("free 2\n", Timestamp::UNIX_EPOCH - SignedDuration::from_secs(301));
    until("the loss of a number that is too old", async || known().await.is_empty()).await;
    running.stop().await;
}
