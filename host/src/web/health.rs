//! `GET /health-check`: whether this daemon answers, for load balancers in front.

/// Says so. What the daemon depends on is not asked: sessions go on while the store is away.
pub(super) async fn show() -> &'static str {
    "ok\n"
}
