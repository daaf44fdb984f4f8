// Empty: a package with a file of assembly may declare functions that stand elsewhere, as helm3.go and helm4.go do.
