//! Which requests may be made twice, since what they do the second time is nothing.

/// What begins the names of methods that only read.
const READS: [&str; 5] = ["Explain", "Get", "List", "Verify", "Watch"];

/// Methods that the contract says change nothing the second time, or nothing at all.
const REPEATABLE: [&str; 7] = [
    // It tries, and files nothing.
    "CheckForge",
    // It asks, and changes nothing.
    "CheckIndex",
    "ExportStore",
    // A gate that the job does not have any more stays as it is.
    "ReleaseGate",
    // The same report again changes nothing.
    "ReportGate",
    // A report is known by its id.
    "ReportOutcomes",
    "ResolvePolicy",
];

/// Whether a request to this path (`/package.Service/Method`) may be made again although the first may have arrived.
pub(super) fn may_be_made_twice(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    READS.iter().any(|prefix| method.starts_with(prefix)) || REPEATABLE.contains(&method)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_method_of_the_contract_is_one_or_the_other_on_purpose() {
        let files = prost_types::FileDescriptorSet::decode(pinion_proto::FILE_DESCRIPTOR_SET);
        let files = files.expect("the contract").file.into_iter();
        let ours = files.filter(|file| file.package() == "pinion.v1");
        let methods = ours
            .flat_map(|file| file.service)
            .flat_map(|service| service.method);
        let mut once: Vec<String> = methods
            .map(|method| method.name().to_owned())
            .filter(|method| !may_be_made_twice(&format!("/pinion.v1.Some/{method}")))
            .collect();
        once.sort();
        let expected = [
            "AbortRollout",
            "ApproveRollout",
            "CreatePinSet",
            "CreateRollout",
            "CreateToken",
            "DeleteEnvironment",
            "DenyRollout",
            "DropWanted",
            "Enroll",
            "FileRollout",
            "FreezePinSet",
            "ImportPins",
            "LeaseGate",
            "LiftBlock",
            "PauseRollout",
            "PromoteRollout",
            "ResumeRollout",
            "RevokeToken",
            "RollBackRollout",
            "TestRoute",
            "UnfreezePinSet",
            "UpdateEnvironment",
            "UpdatePinSet",
            "WithdrawApproval",
        ];
        assert_eq!(once, expected);
    }
}
