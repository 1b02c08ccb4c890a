//! The W3C trace context of outgoing calls (<https://www.w3.org/TR/trace-context/>).

/// The trace that the calls of one connection belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    id: u128,
    sampled: bool,
}

impl Trace {
    /// The trace named by `TRACEPARENT`, as CI systems set it, or else a new random one.
    pub(crate) fn from_environment() -> Self {
        std::env::var("TRACEPARENT")
            .ok()
            .and_then(|text| Self::parse(&text))
            .unwrap_or_else(|| Self {
                id: uuid::Uuid::new_v4().as_u128(),
                sampled: true,
            })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, id, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version == "00" && id.len() == 32 && span.len() == 16 && flags.len() == 2;
        let id = u128::from_str_radix(id, 16).ok()?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (is_known && id != 0).then_some(Self {
            id,
            sampled: flags & 1 == 1,
        })
    }

    /// The `traceparent` header of one call, with a fresh span.
    pub(crate) fn header(&self) -> String {
        let span = uuid::Uuid::new_v4().as_u64_pair().1.max(1);
        format!(
            "00-{:032x}-{span:016x}-{:02x}",
            self.id,
            u8::from(self.sampled)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_trace_is_continued_with_new_spans() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let trace = Trace::parse(given).expect("valid");
        let (first, second) = (trace.header(), trace.header());
        assert!(
            first.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
            "{first}"
        );
        assert!(
            first.ends_with("-00"),
            "an unsampled trace stays unsampled: {first}"
        );
        assert_ne!(first, second);
    }

    #[test]
    fn a_malformed_trace_is_not_continued() {
        for text in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }
}
