// Package artwork holds the images of a pass. They are painted by the command in draw and checked in.
package artwork

import "embed"

// Images are the PNG files under the names that Apple gives them, such as "icon@2x.png".
//
//go:embed *.png
var Images embed.FS

//go:generate go run ./draw .
