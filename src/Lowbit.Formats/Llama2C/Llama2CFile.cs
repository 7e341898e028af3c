using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Globalization;
using Lowbit.Core;

namespace Lowbit.Formats.Llama2C;

/// <summary>
/// A model file of karpathy's llama2.c, legacy version 0, mapped: the header, then all tensors as float32 without names, each
/// kind for all layers together. The tensors get the names that they have in Hugging Face checkpoints, but rotary positions turn
/// features 2i and 2i + 1 of a head together, as Meta's code does, and not i and i + half.
/// </summary>
public sealed unsafe class Llama2CFile : IDisposable
{
    private const uint LaterVersionsMagic = 0x616B3432; // "ak42"

    private readonly MappedFile _file;
    private readonly OrderedDictionary<string, Tensor> _tensors = [];

    private Llama2CFile(MappedFile file)
    {
        _file = file;
        if (file.Length < Llama2CHeader.Bytes) throw new LowbitFormatException(file.Path, $"the file has {file.Length} bytes, a llama2.c model more than {Llama2CHeader.Bytes}; it is truncated, get it again.");
        if (BinaryPrimitives.ReadUInt32LittleEndian(file.Span(0, 4)) == LaterVersionsMagic)
            throw new LowbitFormatException(file.Path, "this is a llama2.c export of version 1 or later, expected version 0; export it again with '--version 0'.");
        Header = Llama2CHeader.Read(file);
        (Int128 expected, Int128 rope) = Size(Header);
        if (file.Length != expected)
            throw new LowbitFormatException(file.Path, $"the header describes a model of {expected} bytes, but the file has {file.Length}; it is truncated, damaged or of another format.");
        AddTensors((long)rope);
    }

    /// <summary>Path as the user gave it.</summary>
    public string Path => _file.Path;

    /// <summary>Size of the file in bytes.</summary>
    public long FileBytes => _file.Length;

    /// <summary>The model's dimensions.</summary>
    public Llama2CHeader Header { get; }

    /// <summary>Tensors by Hugging Face name. They must not be used after <see cref="Dispose"/>.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>Maps and checks a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LowbitFormatException">The header is implausible or does not fit the file's size.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public static Llama2CFile Open(string path)
    {
        MappedFile file = new(path);
        try
        {
            return new Llama2CFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    // 128 bits hold any product of three of the header's numbers.
    private static (Int128 FileBytes, Int128 RopeBytes) Size(Llama2CHeader h)
    {
        Int128 width = h.ModelWidth;
        Int128 layer = width * (2 + 2 * width + 2 * (Int128)h.KeyValueWidth + 3 * (Int128)h.FeedForwardWidth);
        Int128 rope = (Int128)h.ContextLength * h.HeadWidth;
        Int128 embeddings = h.Vocabulary * width * (h.TiedEmbedding ? 1 : 2);
        return (Llama2CHeader.Bytes + sizeof(float) * (embeddings + h.Layers * layer + width + rope), sizeof(float) * rope);
    }

    private void AddTensors(long ropeBytes)
    {
        long offset = Llama2CHeader.Bytes;
        long width = Header.ModelWidth, feedForward = Header.FeedForwardWidth, keyValue = Header.KeyValueWidth;
        Add("model.embed_tokens.weight", Header.Vocabulary, width);
        AddLayers("input_layernorm", width);
        AddLayers("self_attn.q_proj", width, width);
        AddLayers("self_attn.k_proj", keyValue, width);
        AddLayers("self_attn.v_proj", keyValue, width);
        AddLayers("self_attn.o_proj", width, width);
        AddLayers("post_attention_layernorm", width);
        AddLayers("mlp.gate_proj", feedForward, width);
        AddLayers("mlp.down_proj", width, feedForward);
        AddLayers("mlp.up_proj", feedForward, width);
        Add("model.norm.weight", width);
        offset += ropeBytes; // tables of cosines and sines, which every engine computes itself
        if (!Header.TiedEmbedding) Add("lm_head.weight", Header.Vocabulary, width);

        void AddLayers(string name, params ReadOnlySpan<long> shape)
        {
            for (int layer = 0; layer < Header.Layers; layer++)
                Add(string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}.{name}.weight"), shape);
        }

        void Add(string name, params ReadOnlySpan<long> shape)
        {
            long bytes = sizeof(float);
            foreach (long dimension in shape) bytes *= dimension;
            _tensors.Add(name, new Tensor(name, ElementFormat.F32, [.. shape], _file.Pointer + offset, bytes, _file));
            offset += bytes;
        }
    }
}
