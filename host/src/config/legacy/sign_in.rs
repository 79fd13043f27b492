//! What `rserver.conf` says of signing in.

use super::{Name, honoured, instead, only};

const OPENID: &str = "SAML is not spoken here. OpenID Connect (auth-openid) will take its place in a later version; until then \
                      people sign in by PAM";
const SAML_DETAIL: &str = "it belongs to SAML, which OpenID Connect will take the place of";
const NO_OPENID: &str = "OpenID Connect comes in a later version; until then people sign in by PAM";
const OPENID_DETAIL: &str = "it belongs to OpenID Connect, which comes in a later version";
const NO_PROXY: &str = "a header is believed from nobody in this version; people sign in by PAM";
const PROXY_DETAIL: &str = "it belongs to auth-proxy, which cannot be had in this version";
const NO_GOOGLE: &str = "people sign in by PAM";
const PAM_SESSION: &str = "programs start by their user's login shell, without a PAM session";
const CHECKED: &str = "PAM is asked in a child process, which is killed when auth-pam-timeout is over";

pub(super) const NAMES: &[Name] = &[
    honoured("admin-group", "admin-group=staff"),
    honoured("auth-minimum-user-id", "auth-minimum-user-id=500"),
    honoured("auth-required-user-group", "auth-required-user-group=staff"),
    honoured("auth-cookies-force-secure", "auth-cookies-force-secure=1").recalled(),
    honoured("auth-stay-signed-in-days", "auth-stay-signed-in-days=7").recalled(),
    honoured("auth-timeout-minutes", "auth-timeout-minutes=30"),
    only("auth-none", "0", "sign in by the link that the start prints"),
    only("auth-proxy", "0", NO_PROXY).recalled(),
    only("auth-saml", "0", OPENID),
    instead("auth-proxy-user-header", PROXY_DETAIL).recalled(),
    // From memory.
    instead("admin-enabled", "admin-group says who sees everybody's sessions").recalled(),
    instead("admin-superuser-group", "nobody enters another user's session; admin-group says who sees them").recalled(),
    instead("auth-encrypt-password", "the sign-in page sends it as it is; TLS protects it on its way").recalled(),
    only("auth-google-accounts", "0", NO_GOOGLE).recalled(),
    instead("auth-login-page-html", "the sign-in page is the daemon's own").recalled(),
    only("auth-openid", "0", NO_OPENID).recalled(),
    instead("auth-openid-base-uri", OPENID_DETAIL).recalled(),
    instead("auth-openid-issuer", OPENID_DETAIL).recalled(),
    instead("auth-openid-scopes", OPENID_DETAIL).recalled(),
    instead("auth-openid-username-claim", OPENID_DETAIL).recalled(),
    instead("auth-pam-helper-path", CHECKED).recalled(),
    instead(
        "auth-pam-require-password-prompt",
        "a question whose answer is not to be seen is answered with the password",
    )
    .recalled(),
    instead("auth-pam-requires-priv", "the check has the daemon's own rights").recalled(),
    instead("auth-pam-sessions-close", PAM_SESSION).recalled(),
    instead("auth-pam-sessions-enabled", PAM_SESSION).recalled(),
    instead("auth-pam-sessions-profile", PAM_SESSION).recalled(),
    instead("auth-pam-sessions-use-password", PAM_SESSION).recalled(),
    instead("auth-proxy-sign-in-delay", PROXY_DETAIL).recalled(),
    instead("auth-proxy-sign-in-url", PROXY_DETAIL).recalled(),
    instead("auth-proxy-sign-out-url", PROXY_DETAIL).recalled(),
    instead("auth-proxy-user-header-rewrite", PROXY_DETAIL).recalled(),
    instead("auth-revocation-list-dir", "signing out is a row of the registry, and holds on every node").recalled(),
    instead("auth-saml-idp-entity-id", SAML_DETAIL).recalled(),
    instead("auth-saml-metadata-path", SAML_DETAIL).recalled(),
    instead("auth-saml-metadata-url", SAML_DETAIL).recalled(),
    instead("auth-saml-sp-attribute-username", SAML_DETAIL).recalled(),
    instead(
        "auth-sign-in-throttle-seconds",
        "10 wrong passwords for a user, or 60 from an address, make the next attempts wait for the end of the minute",
    )
    .recalled(),
    instead("auth-validate-users", "who signs in always must have an account on the node").recalled(),
    instead("user-provisioning-enabled", "accounts come from the system: /etc/passwd, SSSD or LDAP").recalled(),
];
