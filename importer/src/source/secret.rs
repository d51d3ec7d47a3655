//! Text that is used and never shown.

use std::fmt;

/// A password, a token or a header's value. `Debug` hides it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// User name and password of HTTP basic authentication; CDI's `accessKeyId` and `secretKey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name. Not secret, but not shown either: some servers take a token here.
    pub user: Secret,
    /// The password; empty if the server wants none.
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_neither_user_nor_password() {
        let credentials = Credentials { user: Secret::new("alice"), password: Secret::new("hunter2") };
        let shown = format!("{credentials:?}");
        assert!(!shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}
