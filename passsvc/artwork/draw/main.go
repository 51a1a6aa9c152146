// Command draw paints the images of a pass and writes them as PNG into the folder that is its argument:
//
//	go run ./passsvc/artwork/draw passsvc/artwork
//
// The pictures are shapes, described once in points and sampled at each scale, so that all sizes agree. The results are
// checked in; run it again after changing a shape.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

// picture is a shape of given size in points; paint returns the colour at a point.
type picture struct {
	name          string
	width, height int
	opaque        bool // no transparency: saved without an alpha channel
	paint         func(x, y float64) rgba
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("name the folder to write to")
	}
	pictures := []picture{
		{"icon", 29, 29, true, icon},
		{"logo", 128, 40, false, logo},
		{"strip", 375, 98, true, strip},
	}
	for _, p := range pictures {
		for scale := 1; scale <= 3; scale++ {
			name := p.name + ".png"
			if scale > 1 {
				name = fmt.Sprintf("%s@%dx.png", p.name, scale)
			}
			data, err := render(p, scale)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := os.WriteFile(filepath.Join(args[0], name), data, 0o644); err != nil { //nolint:gosec // public pictures
				return err
			}
		}
	}
	return nil
}

// samples per pixel and direction.
const samples = 5

// render samples p and compresses it as PNG.
func render(p picture, scale int) ([]byte, error) {
	img := image.NewNRGBA(image.Rect(0, 0, p.width*scale, p.height*scale))
	for py := range p.height * scale {
		for px := range p.width * scale {
			var sum rgba
			for i := range samples * samples {
				x := (float64(px) + (float64(i%samples)+0.5)/samples) / float64(scale)
				y := (float64(py) + (float64(i/samples)+0.5)/samples) / float64(scale)
				c := p.paint(x, y)
				sum = rgba{sum.r + c.r*c.a, sum.g + c.g*c.a, sum.b + c.b*c.a, sum.a + c.a}
			}
			img.SetNRGBA(px, py, sum.average(p.opaque))
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err := encoder.Encode(&out, img)
	return out.Bytes(), err
}

// rgba is a colour with parts from 0 to 1, not premultiplied.
type rgba struct{ r, g, b, a float64 }

func (sum rgba) average(opaque bool) color.NRGBA {
	if sum.a == 0 {
		return color.NRGBA{}
	}
	alpha := sum.a / (samples * samples)
	if opaque {
		alpha = 1
	}
	part := func(v float64) uint8 { return uint8(math.Round(255 * min(max(v, 0), 1))) }
	return color.NRGBA{R: part(sum.r / sum.a), G: part(sum.g / sum.a), B: part(sum.b / sum.a), A: part(alpha)}
}

// hex is a solid colour.
func hex(v uint32) rgba {
	return rgba{float64(v>>16) / 255, float64(v>>8&255) / 255, float64(v&255) / 255, 1}
}

// mix goes from a to b as t goes from 0 to 1.
func mix(a, b rgba, t float64) rgba {
	t = min(max(t, 0), 1)
	return rgba{a.r + (b.r-a.r)*t, a.g + (b.g-a.g)*t, a.b + (b.b-a.b)*t, a.a + (b.a-a.a)*t}
}
