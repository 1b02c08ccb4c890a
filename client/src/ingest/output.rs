//! What the output of a failed command says about the kind of its failure, where no test report does.

use crate::v1::Category;

use super::fingerprint::error_line::{self, ErrorLine};

/// Errors by which languages say that something cannot be loaded or compiled.
const NOT_BUILT: [&str; 10] = [
    "ImportError",
    "ModuleNotFoundError",
    "SyntaxError",
    "IndentationError",
    "Cannot find module",
    "Cannot find package",
    "ERR_MODULE_NOT_FOUND",
    "ERR_REQUIRE_ESM",
    "java.lang.NoClassDefFoundError",
    "java.lang.ClassNotFoundException",
];
/// Words by which package managers say that versions cannot be had or do not fit together.
const NOT_INSTALLED: [&str; 6] = [
    "Could not find a version that satisfies",
    "No matching distribution found",
    "ResolutionImpossible",
    "Cannot install ",
    "failed to select a version",
    "No solution found when resolving",
];
/// The same as npm's codes.
const NPM_NOT_INSTALLED: [&str; 4] = ["ERESOLVE", "ETARGET", "E404", "EBADENGINE"];

/// The kind of failure that the last of a command's output shows: packages that cannot be installed, or code
/// that cannot be imported or compiled. `None`: it shows neither.
pub fn category_of_output(output: &str) -> Option<Category> {
    let complaint = error_line::find_complaint(output);
    if complaint.is_some_and(|line| is_install(&line, output)) {
        return Some(Category::Install);
    }
    let line = error_line::find(output)?;
    is_build(&line).then_some(Category::Build)
}

fn is_install(line: &ErrorLine, output: &str) -> bool {
    let code = line.code.as_deref().unwrap_or_default();
    NPM_NOT_INSTALLED.contains(&code) || NOT_INSTALLED.iter().any(|words| output.contains(words))
}

fn is_build(line: &ErrorLine) -> bool {
    // rustc numbers its errors.
    let is_rustc = |code: &String| code.len() == 5 && code.starts_with("E0");
    let says = |name: &&str| {
        let text = line.text.trim_start_matches("Error: ");
        text.starts_with(*name) || text.contains(&format!("[{name}]"))
    };
    line.code.as_ref().is_some_and(is_rustc) || NOT_BUILT.iter().any(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_imported_or_compiled_is_no_failed_test() {
        for output in [
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    import jinja2\nImportError: cannot import name 'soft_unicode' from 'markupsafe'\n",
            "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nModuleNotFoundError: No module named 'setuptools.command.test'\n",
            "error[E0432]: unresolved import `foo::bar`\n --> src/lib.rs:1:5\n",
            "node:internal/modules/cjs/loader:1143\n  throw err;\n  ^\n\nError: Cannot find module 'left-pad'\nRequire stack:\n- /x/a.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1140:15)\n",
        ] {
            assert_eq!(
                category_of_output(output),
                Some(Category::Build),
                "{output}"
            );
        }
    }

    #[test]
    fn what_cannot_be_installed_is_told_by_its_package_manager() {
        for output in [
            "ERROR: Could not find a version that satisfies the requirement six==99 (from versions: 1.16.0)\nERROR: No matching distribution found for six==99\n",
            "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\nERROR: ResolutionImpossible: for help visit\n",
            "npm error code ERESOLVE\nnpm error ERESOLVE unable to resolve dependency tree\n",
            "error: failed to select a version for the requirement `itoa = \"^9\"`\n",
        ] {
            assert_eq!(
                category_of_output(output),
                Some(Category::Install),
                "{output}"
            );
        }
    }

    #[test]
    fn a_failed_assertion_says_nothing_of_its_kind() {
        for output in [
            "",
            "2 failed, 3 passed in 0.31s\n",
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nAssertionError: 1 != 2\n",
        ] {
            assert_eq!(category_of_output(output), None, "{output}");
        }
    }
}
