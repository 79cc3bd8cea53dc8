"""The promotion policy language: what people write, what it means, and why a version was promoted or not.

Pure, and on the standard library alone: the same policy, facts and moment give the same decision. Reading files is
`retraind.policy_files`' work, carrying a decision out is the supervisor's.

    terms       the words and units that conditions are made of
    facts       what a policy may know about a version
    conditions  the table of kinds: parameters, where each may stand, what it means, what would change it
    document    a policy file, bound and checked for form
    decision    evaluate(policy, facts, now) -> Decision; counterfactuals
    lint        checks for sense: what can never be reached, what will surprise
    diff        an edit in words: stricter, looser, other
    schema      JSON Schema for editors, generated from the table
    cases       policy tests with virtual time
"""
