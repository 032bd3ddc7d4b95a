//! Which web pages may send requests.

use axum::http::{HeaderValue, Method};
use std::str::FromStr;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Origins of pages, as `--cors` lists them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origins {
    /// `*`
    All,
    /// Scheme, host and port of each.
    Some(Vec<HeaderValue>),
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        if list == "*" {
            return Ok(Self::All);
        }
        let origin = |text: &str| {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
            match text.parse() {
                Ok(value) if !host.is_empty() && !host.contains(['/', '*', ' ']) => Ok(value),
                _ => Err(format!("\"{text}\" is no origin: give * or a list such as https://example.org,http://localhost:3000")),
            }
        };
        list.split(',').map(|text| origin(text.trim())).collect::<Result<_, _>>().map(Self::Some)
    }
}

impl Origins {
    /// Answers preflight requests, and marks answers for browsers.
    pub(super) fn layer(&self) -> CorsLayer {
        let origins = match self {
            Self::All => AllowOrigin::any(),
            Self::Some(list) => AllowOrigin::list(list.clone()),
        };
        CorsLayer::new().allow_origin(origins).allow_methods([Method::GET, Method::POST]).allow_headers(AllowHeaders::mirror_request())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_or_refused() {
        assert_eq!("*".parse(), Ok(Origins::All));
        let Ok(Origins::Some(two)) = "https://a.org, http://localhost:3000".parse() else { panic!() };
        assert_eq!(two, ["https://a.org", "http://localhost:3000"]);
        for wrong in ["", "a.org", "https://", "https://a.org/path", "https://*.org", "ftp://a.org"] {
            assert!(wrong.parse::<Origins>().unwrap_err().contains("no origin"), "{wrong}");
        }
    }
}
