//! What knows people's passwords.

use std::sync::Arc;

use crate::{
    config::SignInOptions,
    pam::{self, Pam, service::ServiceError},
    web::identity::PasswordCheck,
};

/// What knows passwords, or why there is nothing that does.
pub(super) type PasswordCheckOrWhy = Result<Arc<dyn PasswordCheck>, String>;

/// The PAM service that people sign in by. One that was named must be there; where none was and none of the usual ones is,
/// people sign in by links.
pub(super) fn check(options: &SignInOptions) -> Result<PasswordCheckOrWhy, ServiceError> {
    if !options.by_pam {
        return Ok(Err("auth-pam-enabled=0".to_owned()));
    }
    match pam::service::choose(options.pam_service.as_deref()) {
        Ok(service) => {
            tracing::info!(service, "people sign in by this PAM service");
            Ok(Ok(Arc::new(Pam::new("/proc/self/exe", &service, options.pam_timeout))))
        }
        Err(error) if options.pam_service.is_some() => Err(error),
        Err(error) => {
            tracing::warn!(%error, "nobody signs in by password");
            Ok(Err(error.to_string()))
        }
    }
}
