//! What was typed as a second factor, and what it is worth.

use protocol::id::PlayerId;

use crate::app::App;
use crate::core::factor::TotpSecret;
use crate::problem::Problem;
use crate::store::Shown;

/// Purpose of an app's secret, sealed under its account's key.
pub(crate) const SEALED_TOTP: &str = "totp";

/// What `code` is: a code of the account's app, or one on its paper; `None` if it can be neither. Counts against the
/// account, since codes are short.
pub(crate) async fn shown(app: &App, player: PlayerId, code: &str, now_ms: u64) -> Result<Option<Shown>, Problem> {
    app.identity.allow_factor(&app.store, player).await?;
    if code.trim().len() > 6 {
        return Ok(Some(Shown::Recovery(recovery_hash(app, player, code))));
    }
    let Some(totp) = app.store.totp(player).await?.filter(|totp| totp.is_confirmed) else { return Ok(None) };
    let secret = open_secret(app, player, &totp.sealed, now_ms).await?;
    Ok(secret.step_of(code, now_ms / 1_000).map(Shown::Totp))
}

/// The secret of an app.
pub(crate) async fn open_secret(
    app: &App,
    player: PlayerId,
    sealed: &[u8],
    now_ms: u64,
) -> Result<TotpSecret, Problem> {
    let key = app.store.account_key(&app.identity.vault, player, now_ms).await?;
    let opened = key.and_then(|key| key.open(SEALED_TOTP, sealed).ok());
    let bytes = opened.and_then(|bytes| <[u8; 20]>::try_from(bytes.as_slice()).ok());
    bytes.map(TotpSecret).ok_or_else(|| {
        tracing::error!(player_id = %player, "the secret of an authenticator app does not open");
        Problem::internal()
    })
}

/// What is kept of a code on paper, however it is typed.
pub(crate) fn recovery_hash(app: &App, player: PlayerId, code: &str) -> [u8; 32] {
    let typed: String = code.chars().filter(char::is_ascii_alphanumeric).map(|one| one.to_ascii_lowercase()).collect();
    app.identity.vault.blind_index("recovery", &[&player.to_bytes()[..], typed.as_bytes()].concat()).0
}
