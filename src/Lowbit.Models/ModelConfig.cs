using System.Collections.Immutable;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>How the rows of hidden states are normalised.</summary>
public enum NormKind
{
    /// <summary>x / rms(x) · weight.</summary>
    RootMeanSquare,
    /// <summary>(x − mean(x)) / std(x) · weight + bias.</summary>
    Layer,
}

/// <summary>How the rows of a fused query-key-value projection are ordered.</summary>
public enum FusedOrder
{
    /// <summary>Three separate projections.</summary>
    Separate,
    /// <summary>All of q, then all of k, then all of v (GPT-2).</summary>
    Thirds,
    /// <summary>Head after head, each its q, k and v (GPT-NeoX).</summary>
    ByHead,
}

/// <summary>
/// An architecture as data: everything the forward pass asks about a model besides its tensors. One description a
/// family makes it from a file's configuration (folder Architectures).
/// </summary>
public sealed record ModelConfig
{
    /// <summary>The family as its file calls it: llama, qwen3, opt, gpt2, gpt_neox, ...</summary>
    public required string ModelType { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int ModelDim { get; init; }

    /// <summary>Width of an embedding row; differs from <see cref="ModelDim"/> only in OPT-350m, which projects.</summary>
    public required int EmbeddingDim { get; init; }

    /// <summary>Decoder blocks.</summary>
    public required int BlockCount { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; each serves <see cref="Heads"/> / <see cref="KvHeads"/> query heads.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Width of a head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Width of the feed-forward part.</summary>
    public required int FfnDim { get; init; }

    /// <summary>Most positions the model was made for.</summary>
    public required int ContextLength { get; init; }

    /// <summary>Normalisation of all norms of the model.</summary>
    public required NormKind Norm { get; init; }

    /// <summary>Added to the variance under the root.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Non-linearity of the feed-forward part.</summary>
    public required NonlinearityKind Activation { get; init; }

    /// <summary>Whether the feed-forward part is act(gate) · up (true) or act(up).</summary>
    public bool Gated { get; init; }

    /// <summary>Rotary embedding, or null where positions are learned.</summary>
    public RopeConfig? Rope { get; init; }

    /// <summary>Blocks that apply no rotary embedding (SmolLM3); empty where all do.</summary>
    public ImmutableArray<int> BlocksWithoutRope { get; init; } = [];

    /// <summary>Keys that a query sees in each block, itself included; empty where all blocks see everything.</summary>
    public ImmutableArray<int?> SlidingWindows { get; init; } = [];

    /// <summary>Whether positions have an embedding of their own (OPT, GPT-2).</summary>
    public bool LearnedPositions { get; init; }

    /// <summary>Row of the position embedding that belongs to position 0 (2 in OPT).</summary>
    public int PositionOffset { get; init; }

    /// <summary>Order of a fused query-key-value projection.</summary>
    public FusedOrder Fused { get; init; }

    /// <summary>Whether linears are stored [inFeatures, outFeatures] (GPT-2's Conv1D).</summary>
    public bool LinearsTransposed { get; init; }

    /// <summary>Whether attention and feed-forward both read the block's input (GPT-NeoX) or one follows the other.</summary>
    public bool ParallelResidual { get; init; }

    /// <summary>Whether norms come before the parts of a block (all but OPT-350m) or after their residual sum.</summary>
    public bool NormBefore { get; init; } = true;

    /// <summary>Whether there is a norm before the output projection.</summary>
    public bool FinalNorm { get; init; } = true;

    /// <summary>Whether queries and keys are normalised head by head (Qwen3).</summary>
    public bool QueryKeyNorm { get; init; }

    /// <summary>Whether the heads' output and the inner features of the feed-forward part are normalised before their projections (BitNet's SubLN).</summary>
    public bool SubNorms { get; init; }

    /// <summary>Whether the output projection is the embedding.</summary>
    public bool TiedEmbedding { get; init; }

    /// <summary>Tokens that end a generation, as the model's files say.</summary>
    public ImmutableArray<int> EndIds { get; init; } = [];

    /// <summary>Token that begins a text, if the model's files say.</summary>
    public int? BeginId { get; init; }

    /// <summary>What the tensors are called in the file.</summary>
    public required TensorNames Names { get; init; }

    /// <summary>Reads the description of a model that has no tensors yet.</summary>
    /// <param name="path">A <c>config.json</c> as Hugging Face folders have it.</param>
    /// <exception cref="Lowbit.Core.LowbitException">The file is not there, damaged, or describes something that is not supported.</exception>
    public static ModelConfig Read(string path) => Architectures.Architecture.Read(path);

    /// <summary>Features of a query row: heads · headDim.</summary>
    public int QueryDim => Heads * HeadDim;

    /// <summary>Features of a key or value row: kvHeads · headDim.</summary>
    public int KvDim => KvHeads * HeadDim;

    /// <summary>Keys that a query of this block sees, itself included; 0 for all.</summary>
    public int Window(int block) => SlidingWindows.IsEmpty ? 0 : SlidingWindows[block] ?? 0;

    /// <summary>Whether this block rotates queries and keys.</summary>
    public bool Rotates(int block) => Rope is not null && !BlocksWithoutRope.Contains(block);
}
