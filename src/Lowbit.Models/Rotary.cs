using System;
using Lowbit.Core;

namespace Lowbit.Models;

/// <summary>Cosines and sines of all positions, computed once, and the rotation of query and key rows by them.</summary>
public sealed unsafe class Rotary : IDisposable
{
    private readonly RopeConfig _rope;
    private readonly NativeBuffer _cos, _sin; // [context, dim / 2]

    /// <summary>Computes the tables.</summary>
    /// <param name="rope">Frequencies and order of pairs.</param>
    /// <param name="context">Positions 0 to context − 1.</param>
    public Rotary(RopeConfig rope, int context)
    {
        _rope = rope;
        int pairs = rope.Dim / 2;
        _cos = new NativeBuffer((long)context * pairs * sizeof(float));
        _sin = new NativeBuffer((long)context * pairs * sizeof(float));
        float[] frequencies = rope.Frequencies();
        for (int position = 0; position < context; position++)
        {
            for (int i = 0; i < pairs; i++)
            {
                float angle = position * frequencies[i]; // in float32, as the references have it
                _cos.Floats[(long)position * pairs + i] = (float)Math.Cos(angle) * rope.Amplitude;
                _sin.Floats[(long)position * pairs + i] = (float)Math.Sin(angle) * rope.Amplitude;
            }
        }
    }

    /// <summary>Turns every head of every row in place.</summary>
    /// <param name="rows">[tokens, heads · headDim].</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="firstPosition">Position of the first row.</param>
    /// <param name="heads">Heads of a row.</param>
    /// <param name="headDim">Features of a head.</param>
    public void Rotate(float* rows, int tokens, int firstPosition, int heads, int headDim)
    {
        int pairs = _rope.Dim / 2;
        for (int t = 0; t < tokens; t++)
        {
            float* cos = _cos.Floats + (long)(firstPosition + t) * pairs;
            float* sin = _sin.Floats + (long)(firstPosition + t) * pairs;
            for (int h = 0; h < heads; h++)
            {
                float* head = rows + ((long)t * heads + h) * headDim;
                if (_rope.Interleaved) RotateNeighbours(head, cos, sin, pairs);
                else RotateHalves(head, cos, sin, pairs);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _cos.Dispose();
        _sin.Dispose();
    }

    private static void RotateHalves(float* head, float* cos, float* sin, int pairs)
    {
        for (int i = 0; i < pairs; i++)
        {
            float a = head[i], b = head[i + pairs];
            head[i] = a * cos[i] - b * sin[i];
            head[i + pairs] = b * cos[i] + a * sin[i];
        }
    }

    private static void RotateNeighbours(float* head, float* cos, float* sin, int pairs)
    {
        for (int i = 0; i < pairs; i++)
        {
            float a = head[2 * i], b = head[2 * i + 1];
            head[2 * i] = a * cos[i] - b * sin[i];
            head[2 * i + 1] = b * cos[i] + a * sin[i];
        }
    }
}
