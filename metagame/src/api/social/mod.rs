//! Players among each other, over REST: everything here works with no gateway connected.

mod chat;
mod friends;
mod inbox;
mod parties;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(chat::routes()).merge(friends::routes()).merge(inbox::routes()).merge(parties::routes())
}
