//! The host and its matches: from the room's first notice to the result's acknowledgement.

use std::time::Duration;

use protocol::certificate::SignedResult;
use protocol::id::MatchId;
use protocol::pb;
use protocol::pb::assign_reply::Reply;
use protocol::pb::{MatchPhase, RefusalReason};
use service::Shutdown;
use tokio::task::{JoinError, JoinHandle};

use crate::host::{End, Host};
use crate::notice::Notice;
use crate::result::{Courier, Delivery, EndedMatch, document};
use crate::spool::Spool;
use crate::stage::ResultStep;

/// Something done with a result, outside the host.
pub(crate) enum Errand {
    /// It is on the disk, or the disk refuses it.
    Spooled { id: MatchId, signed: SignedResult, is_spooled: bool },
    /// It was offered to metagame.
    Delivered { id: MatchId, delivery: Delivery },
}

impl Host {
    pub(crate) fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Joinable(id) => self.joinable(id),
            Notice::Refused(id, why) => self.room_refused(id, &why),
            Notice::Playing(id) => {
                self.arbiter.advance(id, MatchPhase::Playing);
                self.update(id, MatchPhase::Playing, "", None);
            }
            Notice::Ended(ended, stats) => self.ended(&ended, *stats),
            Notice::Failed(id, why, stats) => self.failed(id, &why, *stats),
            Notice::Emptied(id) => {
                self.open_rooms.remove(&id);
            }
            Notice::Gone(why) => self.leave(&why, None),
        }
    }

    fn joinable(&mut self, id: MatchId) {
        self.arbiter.joinable(id);
        self.open_rooms.insert(id);
        let Some(hosting) = self.matches.get_mut(&id) else { return };
        let unanswered = std::mem::take(&mut hosting.unanswered);
        // It was released, or the server began to drain, while the room was being made.
        if let Some(reason) = hosting.abort {
            self.parts.stage.abort(id, reason);
            for attempt in unanswered {
                self.refuse(id, attempt, RefusalReason::Ended, reason.into());
            }
            return;
        }
        for attempt in unanswered {
            self.reply(id, attempt, Reply::Joinable(pb::Joinable {}));
        }
        // The drain began while the room was being made.
        if let Some(deadline_ms) = self.drain.deadline_ms() {
            let left = Duration::from_millis(deadline_ms.saturating_sub(self.now_ms()));
            self.parts.stage.draining(id, left);
        }
    }

    fn room_refused(&mut self, id: MatchId, why: &str) {
        self.arbiter.refused(id);
        let Some(hosting) = self.matches.remove(&id) else { return };
        tracing::warn!(match_id = %id, trace_id = hosting.trace_id, why, "the game refuses the match");
        for attempt in hosting.unanswered {
            self.refuse(id, attempt, RefusalReason::Game, why.to_owned());
        }
    }

    fn ended(&mut self, ended: &EndedMatch, stats: pb::MatchStats) {
        let (id, reason) = (ended.id, ended.outcome.reason.clone());
        self.arbiter.advance(id, MatchPhase::Ended);
        let Some(hosting) = self.matches.get_mut(&id) else { return };
        hosting.has_ended = true;
        tracing::info!(match_id = %id, trace_id = hosting.trace_id, reason, ticks = ended.ticks, "match ended");
        crate::metrics::match_ended(if reason == "finished" { "finished" } else { "aborted" });
        if hosting.is_released {
            self.parts.stage.result(id, ResultStep::Released);
            self.update(id, MatchPhase::Ended, &reason, Some(stats));
            return self.close(id, "released by the allocator");
        }
        let signed = SignedResult::sign(&self.parts.result_key, hosting.certificate.clone(), &document(ended));
        hosting.unreported_end = Some(End { reason, stats });
        let spool = self.parts.spool.clone();
        self.errands.spawn(async move {
            let is_spooled = write(&spool, id, &signed).await;
            Errand::Spooled { id, signed, is_spooled }
        });
    }

    /// Takes the next step with a result.
    pub(crate) fn errand(&mut self, done: Result<Errand, JoinError>) {
        match done {
            Ok(Errand::Spooled { id, signed, is_spooled }) => self.deliver(id, signed, is_spooled),
            Ok(Errand::Delivered { id, delivery }) => self.delivered(id, delivery),
            Err(error) => tracing::error!(%error, "a delivery failed; its result is in the spool"),
        }
    }

    fn deliver(&mut self, id: MatchId, signed: SignedResult, is_spooled: bool) {
        // From here on a kill of this process loses nothing. A result that the disk refuses is safe with metagame alone.
        if is_spooled {
            self.parts.stage.result(id, ResultStep::Spooled);
            self.report_end(id);
        }
        let (courier, spool) = (self.parts.courier.clone(), self.parts.spool.clone());
        let stop = self.stop_deliveries.clone();
        self.errands.spawn(async move {
            let delivery = courier.deliver(id, &signed, &stop).await;
            settle(&spool, id, delivery).await;
            if delivery == Delivery::Stopped && !is_spooled {
                // The last resort: a person can take it from the log.
                tracing::error!(match_id = %id, signed = ?signed, "the result is neither delivered nor spooled");
            }
            Errand::Delivered { id, delivery }
        });
    }

    /// Tells the allocator that the match has ended: once, and not before its result is safe.
    fn report_end(&mut self, id: MatchId) {
        let end = self.matches.get_mut(&id).and_then(|hosting| hosting.unreported_end.take());
        if let Some(End { reason, stats }) = end {
            self.update(id, MatchPhase::Ended, &reason, Some(stats));
        }
    }

    fn failed(&mut self, id: MatchId, why: &str, stats: pb::MatchStats) {
        let trace_id = self.matches.remove(&id).map(|hosting| hosting.trace_id).unwrap_or_default();
        tracing::error!(match_id = %id, trace_id, why, "the room failed; its match is lost");
        crate::metrics::match_ended("failed");
        self.arbiter.advance(id, MatchPhase::Failed);
        self.update(id, MatchPhase::Failed, why, Some(stats));
    }

    fn delivered(&mut self, id: MatchId, delivery: Delivery) {
        self.report_end(id);
        let (what, reason) = match delivery {
            Delivery::Acknowledged => {
                self.parts.stage.result(id, ResultStep::Acknowledged);
                ("acknowledged", String::new())
            }
            Delivery::Rejected(status) => {
                self.parts.stage.result(id, ResultStep::Rejected(status));
                ("rejected", format!("metagame refuses the result with status {status}"))
            }
            Delivery::Stopped => ("spooled", "the result is in the spool".into()),
        };
        crate::metrics::result(what);
        let trace_id = self.matches.get(&id).map(|hosting| hosting.trace_id.as_str()).unwrap_or_default();
        tracing::info!(match_id = %id, trace_id, what, "result");
        self.close(id, &reason);
    }

    /// Nothing of the match is left to do; its place is free.
    fn close(&mut self, id: MatchId, reason: &str) {
        self.matches.remove(&id);
        self.arbiter.advance(id, MatchPhase::Closed);
        self.update(id, MatchPhase::Closed, reason, None);
    }

    fn update(&mut self, id: MatchId, phase: MatchPhase, reason: &str, stats: Option<pb::MatchStats>) {
        self.link.update(pb::MatchUpdate {
            match_id: id.to_string(),
            phase: phase.into(),
            reason: reason.into(),
            stats,
            number: 0,
        });
    }

    /// Offers what earlier processes left in the spool, one after another.
    pub(crate) fn offer_spooled(&self) -> JoinHandle<()> {
        let (courier, spool) = (self.parts.courier.clone(), self.parts.spool.clone());
        tokio::spawn(offer(courier, spool, self.stop_deliveries.clone()))
    }
}

async fn offer(courier: Courier, spool: Spool, stop: Shutdown) {
    let reader = spool.clone();
    let waiting = match tokio::task::spawn_blocking(move || reader.waiting()).await {
        Ok(Ok(waiting)) => waiting,
        Ok(Err(error)) => return tracing::error!(%error, "cannot read the spool"),
        Err(_) => return,
    };
    if !waiting.is_empty() {
        tracing::info!(results = waiting.len(), "offering the results that earlier processes left");
    }
    for (id, signed) in waiting {
        let delivery = courier.deliver(id, &signed, &stop).await;
        settle(&spool, id, delivery).await;
        if delivery == Delivery::Stopped {
            return;
        }
    }
}

/// Puts a result on the disk before anything can go wrong; whether it is there.
async fn write(spool: &Spool, id: MatchId, signed: &SignedResult) -> bool {
    let (spool, signed) = (spool.clone(), signed.clone());
    match tokio::task::spawn_blocking(move || spool.write(id, &signed)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(match_id = %id, %error, "cannot spool the result; delivering it all the same");
            false
        }
        Err(_) => false,
    }
}

/// Makes the spool agree with what metagame said.
async fn settle(spool: &Spool, id: MatchId, delivery: Delivery) {
    let spool = spool.clone();
    let settled = tokio::task::spawn_blocking(move || match delivery {
        Delivery::Acknowledged => spool.remove(id),
        Delivery::Rejected(_) => spool.reject(id),
        Delivery::Stopped => Ok(()),
    });
    if let Ok(Err(error)) = settled.await {
        tracing::warn!(match_id = %id, %error, "cannot tidy the spool; the result will be offered again");
    }
}
