//! What is around every page, and the pages of those who are not signed in.

use maud::{DOCTYPE, Markup, html};

use crate::controller::{Identity, Refusal};
use crate::web::dashboard::assets;
use crate::web::dashboard::signed::Signed;

/// The places of the menu.
const PLACES: [(&str, &str); 5] = [
    ("/", "Overview"),
    ("/rollouts", "Rollouts"),
    ("/decisions", "Decisions"),
    ("/figures", "Figures"),
    ("/environments", "Why this version?"),
];

/// A page. `news` is read out by screen readers when it changes while the page is open.
pub(in crate::web::dashboard) fn layout(
    signed: Option<&Signed>,
    title: &str,
    news: &str,
    body: Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Pinion" }
                link rel="icon" type="image/svg+xml" href=(assets::ICON.path());
                link rel="stylesheet" href=(assets::UPLOT_STYLE.path());
                link rel="stylesheet" href=(assets::STYLE.path());
                @if signed.is_some() {
                    script defer src=(assets::UPLOT.path()) {}
                    script defer src=(assets::PICTURES.path()) {}
                    script defer src=(assets::LIVE.path()) {}
                }
            }
            body {
                a.skip href="#main" { "To the content" }
                (top(signed))
                main #main .frame tabindex="-1" data-news=(news) {
                    @if let Some(signed) = signed {
                        @for note in &signed.notes {
                            div.note role="status" { (note) }
                        }
                    }
                    (body)
                }
                // Outside of what is replaced, so that it is there when its words change.
                div #news .hidden role="status" aria-live="polite" {}
                footer {
                    div.frame {
                        "Pinion " (env!("CARGO_PKG_VERSION")) ". Times are UTC. Everything here can be done with "
                        code { "pinion" } " too. Pictures by uPlot ("
                        a href=(assets::UPLOT_LICENCE.path()) { "licence" } ")."
                    }
                }
            }
        }
    }
}

fn top(signed: Option<&Signed>) -> Markup {
    html! {
        header.top {
            div.frame {
                a.brand href="/" {
                    img src=(assets::ICON.path()) alt="" width="24" height="24";
                    "Pinion"
                }
                @if let Some(signed) = signed {
                    nav aria-label="Places" {
                        ul {
                            @for (path, name) in PLACES {
                                li { a href=(path) aria-current=[(signed.path == path).then_some("page")] { (name) } }
                            }
                        }
                    }
                    div.who {
                        span #live .dot data-keep="" { "not live" }
                        span { (signed.caller.actor) ", " (signed.caller.role.as_str()) }
                        form method="post" action="/sign-out" {
                            input type="hidden" name="csrf" value=(signed.session.csrf);
                            button.link type="submit" { "Sign out" }
                        }
                    }
                }
            }
        }
    }
}

/// The form by which people come in.
///
/// `provider` is what the identity provider is called, where there is one.
pub(in crate::web::dashboard) fn sign_in(
    next: &str,
    why: Option<&str>,
    provider: Option<&str>,
) -> Markup {
    let body = html! {
        div.sign-in {
            h1 { "Sign in" }
            @if let Some(why) = why {
                div.fault role="alert" #why { p { "That did not work: " (why) "." } }
            }
            @if let Some(provider) = provider {
                p { a.button.go #oidc href={ "/sign-in/oidc?next=" (query(next)) } { "Sign in with " (provider) } }
                p.quiet { "Or with a token:" }
            }
            form method="post" action="/sign-in" {
                input type="hidden" name="next" value=(next);
                div {
                    label for="token" {
                        "Token "
                        span.hint { "it begins with " code { "pinion_" } }
                    }
                    input #token type="password" name="token" required autofocus[provider.is_none()] autocomplete="current-password"
                        spellcheck="false" aria-describedby=[why.map(|_| "why")];
                }
                div { button.go type="submit" { "Sign in" } }
            }
            p.small.quiet {
                "Who runs this server makes one: " code { "pinion token create NAME --role viewer" } " to look, "
                code { "--role release-manager" } " to act. It is sent once, in this form, and not kept."
            }
        }
    };
    layout(None, "Sign in", "", body)
}

/// What a person is shown for the moment between the identity provider and the page that they asked for.
pub(in crate::web::dashboard) fn come_in(next: &str) -> Markup {
    let body = html! {
        div.sign-in {
            h1 { "You are signed in" }
            p { a href=(next) { "Go on" } }
        }
    };
    layout(None, "Signed in", "", body)
}

fn query(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What a token of an environment or of CI is told.
pub(in crate::web::dashboard) fn for_machines(caller: &Identity) -> Markup {
    let body = html! {
        div.sign-in {
            h1 { "This token is for machines" }
            p {
                "It has the role " strong { (caller.role.as_str()) } ": it receives pins and reports what happened with them. "
                "The dashboard takes the role viewer, or release-manager to act; an admin makes such a token."
            }
            p { "With this one you can, in a checkout:" }
            ul {
                li { code { "pinion join" } " to receive pins, " code { "pinion sync" } " to apply them" }
                li { code { "pinion why PACKAGE" } " to see why you have a version" }
                li { code { "pinion hold PACKAGE" } " to refuse a candidate" }
                @if let Some(pin_set) = &caller.pin_set {
                    li { code { "pip install -c …/pin-sets/" (pin_set) "/constraints.txt" } " without any client" }
                } @else {
                    li { code { "pip install -c …/pin-sets/PIN-SET/constraints.txt" } " without any client" }
                }
            }
            p { a href="/sign-in" { "Sign in with another token" } }
        }
    };
    layout(None, "This token is for machines", "", body)
}

/// Why a token is not taken, without the advice for programs.
pub(in crate::web::dashboard) fn unauthenticated(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unauthenticated(why) => (*why).to_owned(),
        other => other.to_string(),
    }
}
