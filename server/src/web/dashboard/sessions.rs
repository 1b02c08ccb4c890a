//! Who is signed in: sessions in memory, each bound to the record of the token it began with, or to what an identity
//! provider said.
//!
//! A session knows no secret. It ends with its token (revoked, expired), when it is not used for a while, when it
//! has lasted long enough, when the person signs out, and with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::oidc::Person;
use crate::random::{Random, bytes};
use crate::store::Key;

/// How long a session lasts without a click. Updates that a page fetches by itself are none.
pub(super) const IDLE: Duration = Duration::from_secs(8 * 3600);
/// How long a session lasts at most.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Sessions at a time; of more, those end that were not used for the longest time.
const SESSIONS_MAX: usize = 1000;
/// Messages that wait for a session's next page, at most.
const NOTES_MAX: usize = 4;

/// Whose session it is.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// That of a token, by the key of its record.
    Token(Key),
    /// A person whom an identity provider knows.
    Person(Person),
}

/// A session, as a request finds it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// By which it is found; the SHA-256 of the cookie.
    pub(super) id: String,
    pub(super) who: Who,
    /// What every form of the session must send back.
    pub(super) csrf: String,
}

#[derive(Debug)]
struct Kept {
    who: Who,
    csrf: String,
    began: Instant,
    longest: Duration,
    used: Instant,
    notes: Vec<String>,
}

/// Every session.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    kept: Mutex<HashMap<String, Kept>>,
}

impl Sessions {
    /// Begins a session that lasts so long at most, and returns what its cookie holds.
    pub(super) fn begin(
        &self,
        who: Who,
        longest: Duration,
        random: &dyn Random,
        now: Instant,
    ) -> String {
        let secret = URL_SAFE_NO_PAD.encode(bytes::<32>(random));
        let csrf = URL_SAFE_NO_PAD.encode(bytes::<32>(random));
        let mut kept = self.lock();
        kept.retain(|_, session| session.lasts(now));
        while kept.len() >= SESSIONS_MAX {
            let oldest = kept.iter().min_by_key(|(_, session)| session.used);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            kept.remove(&id);
        }
        let session = Kept {
            who,
            csrf,
            began: now,
            longest: longest.min(LONGEST),
            used: now,
            notes: Vec::new(),
        };
        kept.insert(id_of(&secret), session);
        secret
    }

    /// The session of a cookie; `is_click`: a person asks, which keeps the session alive.
    pub(super) fn find(&self, cookie: &str, is_click: bool, now: Instant) -> Option<Session> {
        let id = id_of(cookie);
        let mut kept = self.lock();
        let session = kept.get_mut(&id)?;
        if !session.lasts(now) {
            kept.remove(&id);
            return None;
        }
        if is_click {
            session.used = now;
        }
        let (who, csrf) = (session.who.clone(), session.csrf.clone());
        Some(Session { id, who, csrf })
    }

    /// Whether a session lasts.
    pub(super) fn is_there(&self, id: &str, now: Instant) -> bool {
        self.lock()
            .get(id)
            .is_some_and(|session| session.lasts(now))
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Leaves a message for the session's next page.
    pub(super) fn leave_note(&self, id: &str, note: String) {
        if let Some(session) = self.lock().get_mut(id)
            && session.notes.len() < NOTES_MAX
        {
            session.notes.push(note);
        }
    }

    /// Takes the messages that wait for the session.
    pub(super) fn take_notes(&self, id: &str) -> Vec<String> {
        let mut kept = self.lock();
        let session = kept.get_mut(id);
        session
            .map(|session| std::mem::take(&mut session.notes))
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.used) < IDLE && now.duration_since(self.began) < self.longest
    }
}

/// Sessions are kept by a digest: whoever reads the memory of a crash finds no cookie.
fn id_of(cookie: &str) -> String {
    hex::encode(Sha256::digest(cookie))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use crate::store::keys;

    fn begun(sessions: &Sessions, random: &SeededRandom, now: Instant) -> String {
        let who = Who::Token(keys::token("pinion_x"));
        sessions.begin(who, LONGEST, random, now)
    }

    #[test]
    fn a_session_ends_when_nobody_clicks_for_a_while() {
        let (sessions, random, now) = (Sessions::default(), SeededRandom::new(1), Instant::now());
        let cookie = begun(&sessions, &random, now);
        let almost = IDLE - Duration::from_secs(1);
        assert!(sessions.find(&cookie, true, now + almost).is_some());
        assert!(sessions.find(&cookie, false, now + almost * 2).is_some());
        // What the page fetched by itself was no click.
        let later = now + almost + IDLE;
        assert!(sessions.find(&cookie, true, later).is_none());
        assert!(sessions.find(&cookie, true, now + almost).is_none());
    }

    #[test]
    fn a_session_ends_after_a_week_however_often_it_is_used() {
        let (sessions, random, now) = (Sessions::default(), SeededRandom::new(1), Instant::now());
        let cookie = begun(&sessions, &random, now);
        let mut at = now;
        while at + IDLE / 2 < now + LONGEST {
            at += IDLE / 2;
            assert!(sessions.find(&cookie, true, at).is_some());
        }
        assert!(sessions.find(&cookie, true, at + IDLE / 2).is_none());
    }

    #[test]
    fn a_session_may_be_allowed_to_last_less() {
        let (sessions, random, now) = (Sessions::default(), SeededRandom::new(1), Instant::now());
        let hour = Duration::from_secs(3600);
        let who = Who::Token(keys::token("pinion_x"));
        let cookie = sessions.begin(who, hour, &random, now);
        assert!(sessions.find(&cookie, true, now + hour / 2).is_some());
        assert!(sessions.find(&cookie, true, now + hour).is_none());
    }

    #[test]
    fn of_too_many_sessions_the_one_ends_that_was_not_used_for_the_longest_time() {
        let (sessions, random, now) = (Sessions::default(), SeededRandom::new(1), Instant::now());
        let second = Duration::from_secs(1);
        let first = begun(&sessions, &random, now);
        let other = begun(&sessions, &random, now + second);
        sessions.find(&first, true, now + second * 2);
        for _ in 2..=SESSIONS_MAX {
            begun(&sessions, &random, now + second * 3);
        }
        assert!(sessions.find(&first, true, now + second * 4).is_some());
        assert!(sessions.find(&other, true, now + second * 4).is_none());
    }

    #[test]
    fn a_cookie_that_nobody_was_given_finds_nothing() {
        let (sessions, random, now) = (Sessions::default(), SeededRandom::new(1), Instant::now());
        let cookie = begun(&sessions, &random, now);
        let session = sessions.find(&cookie, true, now).expect("a session");
        assert_ne!(session.csrf, cookie);
        for made_up in ["", "x", &session.id, &session.csrf] {
            assert!(sessions.find(made_up, true, now).is_none());
        }
        sessions.end(&session.id);
        assert!(sessions.find(&cookie, true, now).is_none());
    }

    #[test]
    fn a_note_is_read_once() {
        let (sessions, random, now) = (Sessions::default(), SeededRandom::new(1), Instant::now());
        let cookie = begun(&sessions, &random, now);
        let session = sessions.find(&cookie, true, now).expect("a session");
        sessions.leave_note(&session.id, "paused".to_owned());
        assert_eq!(sessions.take_notes(&session.id), ["paused"]);
        assert!(sessions.take_notes(&session.id).is_empty());
    }
}
