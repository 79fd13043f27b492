//! Each user has one user id throughout the cluster.

use super::Bed;

pub(crate) async fn the_first_user_id_is_kept_until_it_is_forgotten(bed: &impl Bed) {
    let stores = [bed.open().await, bed.open().await];
    assert_eq!(stores[0].keep_uid("ada", 1001).await.unwrap(), 1001);
    assert_eq!(stores[1].keep_uid("ada", 1002).await.unwrap(), 1001);
    assert_eq!(stores[1].keep_uid("bob", u32::MAX).await.unwrap(), u32::MAX);
    assert!(!stores[0].forget_uid("eve").await.unwrap());
    assert!(stores[0].forget_uid("ada").await.unwrap());
    assert_eq!(stores[1].keep_uid("ada", 1002).await.unwrap(), 1002);
    assert_eq!(stores[0].keep_uid("bob", 7).await.unwrap(), u32::MAX);
}

pub(crate) async fn of_many_who_keep_a_user_id_at_once_one_is_first(bed: &impl Bed) {
    let stores = [bed.open().await, bed.open().await, bed.open().await];
    let mut tasks = tokio::task::JoinSet::new();
    for uid in 1000..1020 {
        let store = std::sync::Arc::clone(&stores[uid as usize % 3]);
        tasks.spawn(async move { store.keep_uid("ada", uid).await.expect("kept") });
    }
    let kept = tasks.join_all().await;
    assert!(kept.iter().all(|uid| *uid == kept[0]), "{kept:?}");
}
