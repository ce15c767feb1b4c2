"""What ``holdfast doctor`` looks at, a module for each part. None of them changes a record or a file that is kept."""
