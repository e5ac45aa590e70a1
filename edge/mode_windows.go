package edge

import "os"

// onlyOwner reports true: Windows has no mode bits for others.
func onlyOwner(os.FileInfo) bool { return true }
