//! Settings that are one of a few names.

/// Declares an enum whose variants have names in configs, with its [`FromStr`](std::str::FromStr), display and serde.
macro_rules! choices {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in configs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        $crate::config::choice::named!($name, [$($text),+]);
    };
}

/// Parsing and serde for a type with `ALL` and `name()`.
macro_rules! named {
    ($name:ident, [$($text:literal),+]) => {
        impl std::str::FromStr for $name {
            type Err = $crate::config::choice::Unknown;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|choice| choice.name() == text).ok_or_else(|| {
                    $crate::config::choice::Unknown::new(text, &[$($text),+])
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use {choices, named};

use crate::error::{excerpt, nearest};

/// A name that is not among the choices; its text says which there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}, expected one of: {expected}{suggestion}")]
pub struct Unknown {
    found: String,
    expected: String,
    suggestion: String,
}

impl Unknown {
    pub(crate) fn new(found: &str, names: &[&'static str]) -> Self {
        let suggestion = nearest(found, names.iter().copied());
        Self {
            found: format!("unknown `{}`", excerpt(found)),
            expected: names.join(", "),
            suggestion: suggestion.map_or(String::new(), |name| format!(" (did you mean `{name}`?)")),
        }
    }
}
