//! package.json: what it asks for, and edits that leave the rest of it byte for byte.

use std::path::PathBuf;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
use serde_json::Value;

use super::process::{Place, ToolError};
use super::whole;

/// The members that name direct dependencies.
const DEPENDENCIES: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];

/// A package.json, as it was read.
pub(super) struct PackageJson {
    path: PathBuf,
    text: String,
    value: Value,
}

impl PackageJson {
    pub(super) fn read(place: &Place) -> Result<Self, ToolError> {
        let path = place.root.join("package.json");
        let text = std::fs::read_to_string(&path).map_err(ToolError::file("read", &path))?;
        let value = serde_json::from_str(&text).map_err(|error| ToolError::Broken {
            path: path.clone(),
            problem: error.to_string(),
        })?;
        Ok(Self { path, text, value })
    }

    /// The range by which it asks for a package itself.
    pub(super) fn range(&self, name: &str) -> Option<&str> {
        let member = |members| self.value.get(members)?.get(name)?.as_str();
        DEPENDENCIES.into_iter().find_map(member)
    }

    /// Whether an object such as `overrides` names a package already, with a range or below another or not.
    pub(super) fn names(&self, member: &str, name: &str) -> bool {
        fn any(value: &Value, is_it: &dyn Fn(&str) -> bool) -> bool {
            let Value::Object(members) = value else {
                return false;
            };
            members
                .iter()
                .any(|(key, value)| is_it(key) || any(value, is_it))
        }
        let is_it = |key: &str| {
            // `name`, `name@range`, `parent/name`, `**/name`
            let end = match key.char_indices().skip(1).filter(|(_, c)| *c == '@').last() {
                Some((at, _)) if !key[at..].contains('/') => at,
                _ => key.len(),
            };
            let key = &key[..end];
            key == name || key.ends_with(&format!("/{name}"))
        };
        self.value
            .get(member)
            .is_some_and(|value| any(value, &is_it))
    }

    /// Writes it with members added to one of its objects; without any, as it was read.
    pub(super) fn write(&self, member: &str, added: &[(String, String)]) -> Result<(), ToolError> {
        let text = match added.is_empty() {
            true => self.text.clone(),
            false => self.with(member, added)?,
        };
        let permissions = std::fs::metadata(&self.path).map(|metadata| metadata.permissions());
        let permissions = permissions.map_err(ToolError::file("read", &self.path))?;
        whole::write(&self.path, text.as_bytes(), Some(permissions))
            .map_err(ToolError::file("write", &self.path))
    }

    fn with(&self, member: &str, added: &[(String, String)]) -> Result<String, ToolError> {
        let broken = |problem: String| ToolError::Broken {
            path: self.path.clone(),
            problem,
        };
        if let Some(text) = self.on_its_line(member, added) {
            return Ok(text);
        }
        let options = ParseOptions::default();
        let root = CstRootNode::parse(&self.text, &options).map_err(|e| broken(e.to_string()))?;
        let object = root.object_value_or_create();
        let object = object.ok_or_else(|| broken("it is no object".to_owned()))?;
        let object = object.object_value_or_create(member);
        let object = object.ok_or_else(|| broken(format!("`{member}` is no object")))?;
        for (key, value) in added {
            object.append(key, CstInputValue::String(value.clone()));
        }
        Ok(root.to_string())
    }

    /// The same for a file that is one line, which the editor would spread over many.
    fn on_its_line(&self, member: &str, added: &[(String, String)]) -> Option<String> {
        let is_empty = self.value.as_object()?.is_empty();
        if is_empty || self.value.get(member).is_some() || self.text.trim().contains('\n') {
            return None;
        }
        let end = self.text.rfind('}')?;
        let pairs = added
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()));
        let object = Value::Object(pairs.collect());
        let (before, after) = self.text.split_at(end);
        Some(format!("{before},\"{member}\":{object}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package_json(text: &str) -> PackageJson {
        PackageJson {
            path: "package.json".into(),
            text: text.to_owned(),
            value: serde_json::from_str(text).expect("JSON"),
        }
    }

    fn with(text: &str) -> String {
        let added = [("a@1.0.0".to_owned(), "1.0.0".to_owned())];
        package_json(text)
            .with("overrides", &added)
            .expect("edited")
    }

    #[test]
    fn an_edit_leaves_order_indentation_and_end_as_they_are() {
        assert_eq!(
            with("{\n    \"z\": 1,\n    \"b\": [ 1,2 ]\n}\n"),
            "{\n    \"z\": 1,\n    \"b\": [ 1,2 ],\n    \"overrides\": {\n        \"a@1.0.0\": \"1.0.0\"\n    }\n}\n"
        );
        assert_eq!(
            with("{\n\t\"overrides\": {\n\t\t\"x\": \"1\"\n\t},\n\t\"z\": 1e3\n}"),
            "{\n\t\"overrides\": {\n\t\t\"x\": \"1\",\n\t\t\"a@1.0.0\": \"1.0.0\"\n\t},\n\t\"z\": 1e3\n}"
        );
        let windows = with("{\r\n  \"z\": 1\r\n}\r\n");
        assert!(windows.ends_with("}\r\n}\r\n") && !windows.replace("\r\n", "").contains('\n'));
        assert_eq!(
            with("{\"z\":1}\n"),
            "{\"z\":1,\"overrides\":{\"a@1.0.0\":\"1.0.0\"}}\n"
        );
    }

    #[test]
    fn what_is_overridden_already_is_seen() {
        let text =
            r#"{"overrides": {"a@^1": "1.0.0", "p": {"b": "2"}, "@s/c": "1", "@s/d@1": "1"}}"#;
        let manifest = package_json(text);
        for (name, expected) in [
            ("a", true),
            ("b", true),
            ("@s/c", true),
            ("@s/d", true),
            ("e", false),
        ] {
            assert_eq!(manifest.names("overrides", name), expected, "{name}");
        }
        let yarn = package_json(r#"{"resolutions": {"**/a": "1", "p/b@npm:1": "2"}}"#);
        assert!(yarn.names("resolutions", "a") && yarn.names("resolutions", "b"));
    }

    #[test]
    fn direct_dependencies_are_known_by_their_ranges() {
        let manifest = package_json(r#"{"devDependencies": {"a": "^1"}}"#);
        assert_eq!(manifest.range("a"), Some("^1"));
        assert_eq!(manifest.range("b"), None);
    }
}
